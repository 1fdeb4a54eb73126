// check_host.h - runs the `preprocess` and `tokenize` cases of a cases.json, for `syc check`.
//
// A path in a case is a string relative to the folder of cases.json, or {"shared": path} relative to the
// shared folder. A case that cannot be run here (no shared folder, a file that is not there, a tokenizer
// that is not built) is a SKIP with its reason; a case that is wrong in itself is a FAIL.
//
//   HostCheckResult r;
//   host_check_preprocess(one_case, "golden/preprocess", "golden", &r);
//   printf("%s %s\n", host_verdict_name(r.verdict), r.text);
#ifndef SWITCHYARD_HOST_CHECK_HOST_H
#define SWITCHYARD_HOST_CHECK_HOST_H

#include <cjson/cJSON.h>

#include "host.h"

typedef enum { HOST_PASS, HOST_FAIL, HOST_SKIP } HostVerdict;

typedef struct {
  HostVerdict verdict;
  double max_abs; // greatest difference of pixels; 0 for tokens
  double max_rel; // the same over the greatest wanted magnitude
  char text[256]; // what was compared, the first difference, or why it was skipped
} HostCheckResult;

// "PASS", "FAIL", "SKIP".
const char *host_verdict_name(HostVerdict v);

// Both: dir = folder of cases.json, shared = folder of images/ and tokenizers/ or NULL. True unless the
// verdict is FAIL. `kase` is one element of "cases".
bool host_check_preprocess(const cJSON *kase, const char *dir, const char *shared, HostCheckResult *out);
bool host_check_tokenize(const cJSON *kase, const char *dir, const char *shared, HostCheckResult *out);

#endif
