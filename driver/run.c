// run.c: `syc run SPEC [options] -- ARGUMENTS`: builds the executable and its packed weights into the cache, then
// becomes it. With --jit the compiled model is an object, which is loaded into this process.
#include "codegen/llvm/llvm.h"
#include "driver.h"
#include "host/face.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *cached_weights(Session *s, const Program *p) {
  const StrList *files = &s->opt.weights;
  const char *packed = cached_weights_path(s, p);
  if (!packed || file_is_ours(packed)) return packed;
  Checkpoint c = {0};
  bool ok =
      checkpoint_open(s, &c, files->at, files->n) && checkpoint_check(s, &c, p, true) && weights_pack(s, p, packed, &c);
  checkpoint_close(&c);
  return ok ? packed : NULL;
}

// Of a published folder the tokenizer's file, where the model takes sentences and the arguments name none.
static const char *folder_vocabulary(const Session *s, const Module *m) {
  static const char *const kinds[] = {"clip_bpe", "bert_wordpiece", "sentencepiece"};
  bool sentences = false;
  for (size_t i = 0; i < m->prepare.n; i++)
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
      sentences = sentences || !strcmp(m->prepare.at[i].kind, kinds[k]);
  for (size_t i = 0; i < s->opt.rest.n; i++)
    if (!strncmp(s->opt.rest.at[i], "--vocab", 7)) return NULL;
  return sentences ? s->folder.vocab : NULL;
}

int cmd_run(Session *s) {
  if (s->opt.arg.n != 1)
    return session_fail(s, EXIT_USAGE,
                        "syc run takes one spec; arguments of the program go behind -- (syc run --help)");
  if (s->opt.jit) s->opt.backend = "jit";
  const BackEnd *back_end = session_back_end(s, USE_FILES | USE_LOADED);
  if (!back_end) return s->exit_code;
  bool jit = back_end->use == USE_LOADED;
  const Target *t[MAX_TARGETS];
  const char *best = jit ? session_best_isa(s) : NULL; // nothing else will run
  size_t n = session_targets(s, s->opt.isa ? s->opt.isa : best, t);
  if (n && !session_targets_run(s, t, n, NULL)) return s->exit_code;
  Module *m = n ? module_for_weights(s, s->opt.arg.at[0]) : NULL;
  Program *p = m ? session_program(s, m, t, n) : NULL;
  if (!p) return s->exit_code;
  const char *exe = cc_cached(s, p, session_prefix(s, m), jit ? CC_JIT : CC_EXE, NULL);
  if (!exe) return s->exit_code;
  StrList a = {0};
  VEC_PUSH(&s->arena, a, exe);
  if (s->opt.weights.n) {
    const char *packed = cached_weights(s, p);
    if (!packed) return s->exit_code;
    VEC_PUSH(&s->arena, a, "--weights");
    VEC_PUSH(&s->arena, a, packed);
  }
  if (s->opt.threads != INT_UNSET) {
    VEC_PUSH(&s->arena, a, "--threads");
    VEC_PUSH(&s->arena, a, arena_printf(&s->arena, "%lld", (long long)s->opt.threads));
  }
  const char *vocab = folder_vocabulary(s, m);
  if (vocab) {
    VEC_PUSH(&s->arena, a, "--vocab");
    VEC_PUSH(&s->arena, a, vocab);
  }
  for (size_t i = 0; i < s->opt.rest.n; i++) VEC_PUSH(&s->arena, a, s->opt.rest.at[i]);
  VEC_PUSH(&s->arena, a, NULL);
  fflush(NULL);
  if (jit) {
    void *handle = NULL;
    const sy_model *model = backend_load(s, p, &handle);
    int code = model ? face_main(model, (int)a.n - 1, (char **)(uintptr_t)a.at) : s->exit_code;
    llvm_unload(handle);
    return code;
  }
  if (s->cache_is_temporary) return temp_run(a.at); // somebody must remove it
  execv(exe, (char *const *)(uintptr_t)a.at);
  return session_fail(s, EXIT_IO, "cannot run %s: %s", exe, strerror(errno));
}
