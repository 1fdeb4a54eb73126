#include "driver.h"
bool explain_json(Session *s, const char *spec, const char *out);
bool explain_json(Session *s, const char *spec, const char *out) { (void)s,(void)spec,(void)out; return false; }
int cmd_explain(Session *s) { return session_fail(s, EXIT_USAGE, "not built"); }
