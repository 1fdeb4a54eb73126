// host_support.h - where the files lie that tests may use but the project does not contain.
#ifndef SWITCHYARD_TESTS_HOST_SUPPORT_H
#define SWITCHYARD_TESTS_HOST_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef SWITCHYARD_SOURCE_DIR
#define SWITCHYARD_SOURCE_DIR "."
#endif

// The golden folder in the shared folder (SWITCHYARD_SHARED, else ../shared); NULL if it is not there.
static inline const char *shared_golden(char path[512]) {
  const char *named = getenv("SWITCHYARD_SHARED"), *base = named ? named : SWITCHYARD_SOURCE_DIR "/../shared";
  char probe[600];
  snprintf(path, 512, "%s/golden", base);
  snprintf(probe, sizeof probe, "%s/tokenizers/cases.json", path);
  if (access(probe, R_OK) == 0) return path;
  snprintf(path, 512, "%s", base); // the folder itself may be the golden one
  snprintf(probe, sizeof probe, "%s/tokenizers/cases.json", path);
  return access(probe, R_OK) == 0 ? path : NULL;
}

#endif
