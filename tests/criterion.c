// criterion.c: in every Criterion program. Tests run in processes of their own, which look for leaks when they end. The
// runner that starts them runs nothing of ours, and loses some bytes of its own once in a while: it does not look.
#include <stdlib.h>

int __lsan_is_turned_off(void); // asked by LeakSanitizer, where it is there
int __lsan_is_turned_off(void) {
  return !getenv("BXFI_MAP"); // set for those processes
}
