// llvm.c: targets, passes and files of the LLVM back end; see llvm.h.
//
//   Program --emit_llvm_model.c, emit_llvm.c--> module --optimise--> module --LLVM--> text, bitcode, assembly, object
#include "emit_llvm.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/BitWriter.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <llvm/Config/llvm-config.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const char *llvm_missing(void) {
  return NULL;
}
const char *llvm_version(void) {
  return LLVM_VERSION_STRING;
}

static pthread_once_t started = PTHREAD_ONCE_INIT;
static void start(void) {
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
  LLVMInitializeAllAsmParsers(); // of the engine's inline assembly
}

// The text of an error outlives the module that it is about.
static const char *keep_error(char *s, void (*dispose)(char *)) {
  static _Thread_local char text[500];
  snprintf(text, sizeof text, "%s", s ? s : "unknown error");
  if (dispose) dispose(s);
  return text;
}

/* targets
 * --------------------------------------------------------------------------------------------------------------------------------
 */
// What machines need for the kernels, beside what the kernels' own attributes say.
static const char *const needs[][2] = {
    {"riscv64", "+m,+a,+f,+d,+c"},
    {"wasm32", "+simd128,+bulk-memory"},
    {"i386", "+sse2"}, // without it floats are computed in more than their precision
    {"i486", "+sse2"},
    {"i586", "+sse2"},
    {"i686", "+sse2"},
};

static const char *needs_of(const char *triple) {
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    size_t n = strlen(needs[i][0]);
    if (!strncmp(triple, needs[i][0], n) && (triple[n] == '-' || !triple[n])) return needs[i][1];
  }
  return "";
}

static LLVMTargetRef find_target(const char *triple, const char **err) {
  LLVMTargetRef t = NULL;
  char *message = NULL, text[400];
  pthread_once(&started, start);
  bool known = !LLVMGetTargetFromTriple(triple, &t, &message);
  if (known && LLVMTargetHasTargetMachine(t) && LLVMTargetHasAsmBackend(t)) return t;
  snprintf(text, sizeof text, "LLVM %s has no target '%.100s'%s%.200s", LLVM_VERSION_STRING, triple,
           message ? ": " : "", message ? message : "");
  if (message) LLVMDisposeMessage(message);
  *err = keep_error(text, NULL);
  return NULL;
}

size_t llvm_targets(const char *triple, const Target **out, const char **err) {
  char *mine = triple ? NULL : LLVMGetDefaultTargetTriple();
  const char *name = triple ? triple : mine;
  size_t n = 0;
  if (find_target(name, err)) {
    const Family *f = family_of_machine(name);
    for (size_t i = 0; targets[i]; i++)
      if (target_runs_on(targets[i], f)) out[n++] = targets[i];
  }
  if (mine) LLVMDisposeMessage(mine);
  return n;
}

static bool open_machine(Llvm *l, const char **err) {
  char *mine = l->o->triple ? NULL : LLVMGetDefaultTargetTriple();
  const char *triple = l->o->triple ? l->o->triple : mine;
  LLVMTargetRef t = find_target(triple, err);
  const char *features = l->o->features ? l->o->features : needs_of(triple);
  if (t)
    l->machine = LLVMCreateTargetMachine(t, triple, l->o->cpu ? l->o->cpu : "", features, LLVMCodeGenLevelDefault,
                                         LLVMRelocPIC, LLVMCodeModelDefault);
  if (t && !l->machine) *err = "LLVM cannot make a machine of this triple, processor and features";
  if (l->machine) {
    l->layout = LLVMCreateTargetDataLayout(l->machine);
    LLVMSetModuleDataLayout(l->module, l->layout);
    LLVMSetTarget(l->module, triple);
  }
  if (mine) LLVMDisposeMessage(mine);
  return l->machine != NULL;
}

/* the module
 * -----------------------------------------------------------------------------------------------------------------------------
 */
LLVMMetadataRef emit_llvm_file(Llvm *l, const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  return LLVMDIBuilderCreateFile(l->debug, base, strlen(base), "", 0);
}

static void open_debug(Llvm *l) {
  const Module *m = l->p->module;
  const char *path = NULL;
  uint32_t line = 0, column = 0;
  for (size_t r = 0; r < l->p->route.n && !path; r++)
    for (size_t i = 0; i < l->p->route.at[r].step.n && !path; i++)
      if (!m->diag || !diag_place(m->diag, l->p->route.at[r].step.at[i].span, &path, &line, &column)) path = NULL;
  if (!path) return;
  const char *producer = "Switchyard";
  l->debug = LLVMCreateDIBuilder(l->module);
  l->file = emit_llvm_file(l, path);
  l->unit =
      LLVMDIBuilderCreateCompileUnit(l->debug, LLVMDWARFSourceLanguageC11, l->file, producer, strlen(producer), true,
                                     "", 0, 0, "", 0, LLVMDWARFEmissionLineTablesOnly, 0, false, false, "", 0, "", 0);
  l->no_args = LLVMDIBuilderCreateSubroutineType(l->debug, l->file, NULL, 0, LLVMDIFlagZero);
  static const char key[] = "Debug Info Version";
  LLVMAddModuleFlag(l->module, LLVMModuleFlagBehaviorWarning, key, sizeof key - 1,
                    LLVMValueAsMetadata(LLVMConstInt(l->i32, LLVMDebugMetadataVersion(), false)));
}

static void close_module(Llvm *l) {
  if (l->debug) LLVMDisposeDIBuilder(l->debug);
  if (l->layout) LLVMDisposeTargetData(l->layout);
  if (l->machine) LLVMDisposeTargetMachine(l->machine);
  LLVMDisposeBuilder(l->b);
  LLVMDisposeModule(l->module);
  LLVMContextDispose(l->ctx);
  arena_free(&l->arena);
  free(l);
}

static Llvm *open_module(const Program *p, const EmitLlvm *o, const char **err) {
  Llvm *l = calloc(1, sizeof *l);
  if (!l) out_of_memory(sizeof *l);
  l->p = p;
  l->o = o;
  l->ctx = LLVMContextCreate();
  l->module = LLVMModuleCreateWithNameInContext(o->prefix, l->ctx);
  l->b = LLVMCreateBuilderInContext(l->ctx);
  l->i1 = LLVMInt1TypeInContext(l->ctx);
  l->i8 = LLVMInt8TypeInContext(l->ctx);
  l->i16 = LLVMInt16TypeInContext(l->ctx);
  l->i32 = LLVMInt32TypeInContext(l->ctx);
  l->i64 = LLVMInt64TypeInContext(l->ctx);
  l->f32 = LLVMFloatTypeInContext(l->ctx);
  l->f64 = LLVMDoubleTypeInContext(l->ctx);
  l->ptr = LLVMPointerTypeInContext(l->ctx, 0);
  l->none = LLVMVoidTypeInContext(l->ctx);
  if (open_machine(l, err)) {
    l->word = LLVMIntPtrTypeInContext(l->ctx, l->layout);
    return l;
  }
  close_module(l);
  return NULL;
}

static void check_module(Llvm *l) {
  char *why = NULL;
  if (LLVMVerifyModule(l->module, LLVMReturnStatusAction, &why))
    ICE("the LLVM back end made an invalid module: %.400s", why);
  LLVMDisposeMessage(why);
}

#if LLVM_VERSION_MAJOR >= 18
#define INSTCOMBINE "instcombine<no-verify-fixpoint>"
#else
#define INSTCOMBINE "instcombine"
#endif
// What kernels gain from, and no more: they say themselves what is vectorised and unrolled, and the engine comes
// optimised. A third of the time of LLVM's own -O2, the same speed of the result.
static const char pipeline[] = "always-inline,globaldce,"
                               "function(sroa,early-cse<memssa>,simplifycfg," INSTCOMBINE
                               ",loop-mssa(loop-rotate,licm),gvn," INSTCOMBINE ",dse,simplifycfg),"
                               "globaldce";

static bool optimise(Llvm *l, const char **err) {
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  LLVMErrorRef e = LLVMRunPasses(l->module, pipeline, l->machine, options);
  LLVMDisposePassBuilderOptions(options);
  if (e) *err = keep_error(LLVMGetErrorMessage(e), LLVMDisposeErrorMessage);
  return !e;
}

static bool print_module(Llvm *l, LlvmKind kind, Buf *out, const char **err) {
  check_module(l);
  if (kind == LLVM_TEXT) {
    char *s = LLVMPrintModuleToString(l->module);
    buf_puts(out, s);
    LLVMDisposeMessage(s);
    return true;
  }
  LLVMMemoryBufferRef m = NULL;
  char *why = NULL;
  LLVMCodeGenFileType file = kind == LLVM_ASM ? LLVMAssemblyFile : LLVMObjectFile;
  if (kind == LLVM_BITCODE) {
    m = LLVMWriteBitcodeToMemoryBuffer(l->module);
  } else if (!optimise(l, err)) {
    return false;
  } else if (LLVMTargetMachineEmitToMemoryBuffer(l->machine, l->module, file, &why, &m)) {
    *err = keep_error(why, LLVMDisposeMessage);
    return false;
  }
  buf_putn(out, LLVMGetBufferStart(m), LLVMGetBufferSize(m));
  LLVMDisposeMemoryBuffer(m);
  return true;
}

bool llvm_emit(const Program *p, const EmitLlvm *o, LlvmKind kind, Buf *out, const char **err) {
  Llvm *l = open_module(p, o, err);
  if (!l) return false;
  open_debug(l);
  bool ok = emit_llvm_model(l, err);
  if (l->debug) LLVMDIBuilderFinalize(l->debug);
  ok = ok && print_module(l, kind, out, err);
  close_module(l);
  return ok;
}

bool llvm_emit_kernels(const LlvmKernel *k, size_t n, const Target *t, const EmitLlvm *o, LlvmKind kind, Buf *out,
                       const char **err) {
  Llvm *l = open_module(NULL, o, err);
  if (!l) return false;
  for (size_t i = 0; i < n; i++) {
    LLVMSetLinkage(emit_llvm_kernel(l, k[i].kernel, t, k[i].name, 0), LLVMExternalLinkage);
    const char *tasks = arena_printf(&l->arena, "%s_tasks", k[i].name);
    LLVMSetLinkage(emit_llvm_tasks(l, k[i].kernel, tasks), LLVMExternalLinkage);
  }
  bool ok = print_module(l, kind, out, err);
  close_module(l);
  return ok;
}
