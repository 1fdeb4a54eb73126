// page_support.h: a page in a string, compiled as syc does it; `use std` reads models/.
#ifndef SY_PAGE_SUPPORT_H
#define SY_PAGE_SUPPORT_H

#include "frontend/frontend.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const char *page_find(void *ud, const char *name, size_t *n, const char **path) {
  char file[64];
  (void)path;
  snprintf(file, sizeof file, "models/%s.sy", name);
  return file_read(ud, file, n, NULL);
}

__attribute__((unused)) static Module *page_compile(Arena *a, const char *page) {
  Intern *names = ARENA_NEW(a, Intern);
  Diag *d = ARENA_NEW(a, Diag);
  names->arena = a;
  diag_init(d, a);
  FrontOptions o = {.find = page_find, .ud = a};
  Module *m = front_compile(a, names, d, "page.sy", page, strlen(page), &o);
  Buf why = {0};
  diag_print(d, &why, false);
  cr_assert(m, "%s", why.s ? why.s : "no module");
  buf_free(&why);
  return m;
}

#endif
