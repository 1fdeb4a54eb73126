// host_spm_bpe.c - SentencePiece models of the kind BPE: ids and texts that the library itself made of them
// (tests/reference/spm_bpe.js).
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/sentencepiece.h"

static char *read_file(const char *name, const char *ending, size_t *n) {
  char path[600];
  HostError err = {.text = ""};
  snprintf(path, sizeof path, SOURCE_DIR "/tests/golden/tokenizers/spm_bpe/%s%s", name, ending);
  char *s = host_read_file(path, 1 << 24, n, &err);
  cr_assert(s, "%s", err.text);
  return s;
}

static void compare(const char *name, const HostSpm *m, const cJSON *line) {
  const cJSON *text = line->child, *ids = text->next, *back = ids->next, *want = ids->child;
  HostError err = {.text = ""};
  HostSpmCut cut;
  cr_assert(host_spm_encode(m, text->valuestring, strlen(text->valuestring), &cut, &err), "%s", err.text);
  int32_t *id = malloc((cut.n + 1) * sizeof *id);
  bool same = true;
  for (size_t i = 0; i < cut.n; i++, want = want ? want->next : NULL) {
    id[i] = cut.piece[i].id;
    same = same && want && want->valueint == id[i];
  }
  cr_expect(same && !want, "%s: '%s'", name, text->valuestring);
  size_t bytes = 0;
  char *s = host_spm_decode(m, id, cut.n, &bytes, &err);
  cr_expect(s && !strcmp(s, back->valuestring), "%s: '%s' comes back as '%s', not '%s'", name, text->valuestring, s,
            back->valuestring);
  free(s);
  free(id);
  host_spm_cut_free(&cut);
}

Test(spm_bpe, ids_and_texts_of_the_library) {
  static const char *const names[] = {"llama", "gemma", "tied", "user"};
  size_t lines = 0;
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    size_t n;
    HostError err = {.text = ""};
    char *file = read_file(names[k], ".model", &n), *all;
    HostSpm *m = host_spm_load_memory(file, n, &err);
    cr_assert(m, "%s: %s", names[k], err.text);
    free(file);
    all = read_file(names[k], ".ids", &n);
    for (char *line = all, *end; *line; line = end + 1, lines++) {
      end = strchr(line, '\n');
      *end = 0;
      cJSON *json = cJSON_Parse(line);
      cr_assert(json);
      compare(names[k], m, json);
      cJSON_Delete(json);
    }
    free(all);
    host_spm_free(m);
  }
  cr_expect_geq(lines, 1300);
}

Test(spm_bpe, a_long_word, .timeout = 60) {
  enum { LONG = 1 << 21 };
  size_t n;
  HostError err = {.text = ""};
  HostSpmCut cut;
  char *file = read_file("llama", ".model", &n), *s = malloc(LONG);
  HostSpm *m = host_spm_load_memory(file, n, &err);
  cr_assert(m && s);
  memset(s, 'a', LONG);
  cr_expect(host_spm_encode(m, s, LONG, &cut, &err), "%s", err.text);
  host_spm_cut_free(&cut);
  host_spm_free(m);
  free(s);
  free(file);
}
