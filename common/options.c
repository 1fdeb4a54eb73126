// options.c: reading a command line by a table. A name may stand in the table several times, for other commands.
#include "options.h"

#include "text.h"

#include <string.h>

// The row of an option as it is written, that of the command first; false if there is none.
static bool find_row(const OptionScan *s, OptionItem *it) {
  bool found = false;
  for (size_t i = 0; i < s->nrow; i++) {
    OptionRow r = s->row(i);
    bool same = it->is_long ? strlen(r.name) == it->nname && !memcmp(r.name, it->name, it->nname)
                            : r.letter && r.letter == it->name[0];
    if (!same || (found && !(r.with & s->command))) continue;
    it->row = i;
    it->kind = r.with & s->command ? OPTION_SET : OPTION_ELSEWHERE;
    found = true;
    if (it->kind == OPTION_SET) break;
  }
  return found;
}

static bool is_one_dash(const OptionScan *s, const char *arg) {
  size_t n = strcspn(arg + 1, "=");
  for (size_t i = 0; i < s->nrow; i++) {
    OptionRow r = s->row(i);
    if (r.one_dash && strlen(r.name) == n && !memcmp(r.name, arg + 1, n)) return true;
  }
  return false;
}

OptionItem options_next(OptionScan *s) {
  if (s->at < s->narg && !s->rest && !strcmp(s->arg[s->at], "--")) {
    s->rest = true;
    s->at++;
  }
  if (s->at >= s->narg) return (OptionItem){.kind = OPTION_END};
  const char *arg = s->arg[s->at++];
  OptionItem it = {.kind = OPTION_WORD, .text = arg, .rest = s->rest};
  if (s->rest || arg[0] != '-' || !arg[1]) return it;
  it.is_long = arg[1] == '-' || is_one_dash(s, arg);
  it.name = arg + (arg[1] == '-' ? 2 : 1);
  it.nname = it.is_long ? strcspn(it.name, "=") : 1;
  it.kind = OPTION_UNKNOWN;
  if (!find_row(s, &it) || it.kind != OPTION_SET) return it;
  const char *behind = it.name + it.nname;
  if (it.is_long && *behind == '=') it.value = behind + 1;
  if (!it.is_long && *behind) it.value = behind;
  OptionTakes takes = s->row(it.row).takes;
  if (takes == OPTION_NOTHING && it.value) it.kind = OPTION_SURPLUS;
  if (takes != OPTION_VALUE || it.value) return it;
  if (s->at == s->narg)
    it.kind = OPTION_LACKING;
  else
    it.value = s->arg[s->at++];
  return it;
}

const char *options_near(const OptionScan *s, const char *name, size_t n) {
  enum { MOST = 4, LONGEST = 60 };
  char bare[LONGEST];
  const char *near = NULL;
  size_t best = MOST;
  if (n >= sizeof bare) return NULL;
  memcpy(bare, name, n);
  bare[n] = 0;
  for (size_t i = 0; i < s->nrow; i++) {
    OptionRow r = s->row(i);
    size_t d = r.with & s->command ? edit_distance(bare, r.name, best) : best;
    if (d < best) best = d, near = r.name;
  }
  return near;
}
