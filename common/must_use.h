// must_use.h: SY_MUST_USE marks a function that says by its value alone that it failed (false, NULL, NO_VAL, a code):
// a call that drops the value does not compile. A caller that can do without the result says so with a variable:
//
//   bool kept = file_write(path, text, n, &why);
//   (void)kept; // the next run makes it again
#ifndef SY_MUST_USE_H
#define SY_MUST_USE_H

#if defined(__GNUC__)
#define SY_MUST_USE __attribute__((warn_unused_result))
#else
#define SY_MUST_USE
#endif

#endif
