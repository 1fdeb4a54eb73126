#include "driver.h"
int cmd_bench(Session *s) { return session_fail(s, EXIT_USAGE, "not built"); }
