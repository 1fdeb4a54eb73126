// emit_llvm_model.c: a model around its kernels: the kernels' functions, the tables that the engine runs (an Image,
// printed by image_llvm.c), the engine itself, linked in as bitcode, and one function for each route.
//
//   define i32 @vit_classify(ptr %ctx, i64 %B, ptr %image, ptr %logits)
#include "emit_llvm.h"

#include "engine_bitcode.h"
#include "codegen/training.h"
#include "image_llvm.h"

#include <llvm-c/BitReader.h>
#include <llvm-c/Linker.h>
#include <string.h>

/* kernels
 * --------------------------------------------------------------------------------------------------------------------------------
 */
// The line that the first step with this kernel comes from, 0: unknown; its file (the page, or one that it uses)
// becomes that of the functions made next.
static unsigned line_of_kernel(Llvm *l, size_t kernel) {
  const char *path = NULL;
  uint32_t line = 0, column = 0;
  for (size_t r = 0; l->debug && r < l->p->route.n; r++)
    for (size_t i = 0; i < l->p->route.at[r].step.n; i++) {
      const Step *s = &l->p->route.at[r].step.at[i];
      if (s->kernel != kernel || !diag_place(l->p->module->diag, s->span, &path, &line, &column)) continue;
      l->file = emit_llvm_file(l, path);
      return line;
    }
  return 0;
}

// By Image.function.
static const LLVMValueRef *emit_functions(Llvm *l, const Image *im) {
  LLVMValueRef *v = ARENA_ARRAY(&l->arena, LLVMValueRef, im->function.n + 1);
  for (size_t i = 0; i < im->function.n; i++) {
    const ImageFunction *f = &im->function.at[i];
    const char *name = image_llvm_name(l, im, f->name);
    v[i] = f->tasks ? emit_llvm_tasks(l, f->k, name)
                    : emit_llvm_kernel(l, f->k, f->target, name, line_of_kernel(l, f->kernel));
  }
  return v;
}

static void emit_image(Llvm *l, const ModelNames *n) {
  Image im = image_of(l->p, n, &(ImageOf){.prepare = true, .alone = true, .glue = l->o->glue});
  const Target *mine[MAX_TARGETS];
  const char *err = NULL;
  size_t nmine = llvm_targets(LLVMGetTarget(l->module), mine, &err);
  image_llvm(l, &im, emit_functions(l, &im), mine, nmine);
  image_free(&im);
}

/* the engine
 * ---------------------------------------------------------------------------------------------------------------------------
 */
static const EngineBitcode *engine_for(const Llvm *l, const char *what) {
  const char *triple = LLVMGetTarget(l->module);
  const EngineBitcode *spare = NULL;
  size_t bits = LLVMPointerSize(l->layout) * 8;
  for (const EngineBitcode *e = engine_bitcode; e->arch; e++) {
    if (strcmp(e->what, what) != 0) continue;
    size_t len = strlen(e->arch);
    if (!strncmp(triple, e->arch, len) && (triple[len] == '-' || !triple[len])) return e;
    if (e->bits == bits && (!spare || !strcmp(e->arch, "aarch64")))
      spare = e; // aarch64's has no instruction of its own
  }
  return spare;
}

// Functions compiled for another family of processors keep no attribute of it.
static void forget_target(LLVMModuleRef m) {
  static const char *const keys[] = {"target-cpu", "target-features", "tune-cpu"};
  for (LLVMValueRef f = LLVMGetFirstFunction(m); f; f = LLVMGetNextFunction(f))
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
      LLVMRemoveStringAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, keys[i],
                                       (unsigned)strlen(keys[i]));
}

static bool link_engine(Llvm *l, const char *what, const char **err) {
  const EngineBitcode *e = engine_for(l, what);
  if (!e) {
    *err = "this build has no engine for the pointer size of the target";
    return false;
  }
  LLVMMemoryBufferRef text = LLVMCreateMemoryBufferWithMemoryRange((const char *)e->data, e->size, what, false);
  LLVMModuleRef engine = NULL;
  if (LLVMParseBitcodeInContext2(l->ctx, text, &engine)) {
    LLVMDisposeMemoryBuffer(text);
    *err = "the engine inside syc cannot be read by this LLVM";
    return false;
  }
  LLVMDisposeMemoryBuffer(text);
  forget_target(engine);
  LLVMSetTarget(engine, LLVMGetTarget(l->module));
  LLVMSetDataLayout(engine, LLVMGetDataLayoutStr(l->module));
  if (!LLVMLinkModules2(l->module, engine)) return true;
  *err = "the engine inside syc does not fit the module";
  return false;
}

// The engine's public functions get the model's prefix; all else is internal.
static void name_functions(Llvm *l, const ModelNames *n) {
  static const char prefix[] = "mdl_";
  static const char *const open[] = {"init",           "call",           "describe",     "arena_bytes", "isa",
                                     "strerror",       "selftest",       "set_trace",    "train_init",  "train_ctx",
                                     "grad",           "update",         "train_fault",  "train_step",  "train_put",
                                     "train_set_step", "train_tensors",  "train_tensor", "train_get",   "train_export",
                                     "train_merge",    "train_adapters", "train_adapter"};
  size_t nopen = program_trains(l->p) ? sizeof open / sizeof *open : 8; // the first are those of every model
  for (LLVMValueRef g = LLVMGetFirstGlobal(l->module); g; g = LLVMGetNextGlobal(g))
    if (!LLVMIsDeclaration(g) && LLVMGetLinkage(g) == LLVMExternalLinkage) LLVMSetLinkage(g, LLVMInternalLinkage);
  for (LLVMValueRef f = LLVMGetFirstFunction(l->module); f; f = LLVMGetNextFunction(f)) {
    size_t len = 0;
    const char *name = LLVMGetValueName2(f, &len);
    if (LLVMIsDeclaration(f) || strncmp(name, prefix, sizeof prefix - 1) != 0) continue;
    const char *rest = arena_strdup(&l->arena, name + sizeof prefix - 1);
    size_t i = 0;
    while (i < nopen && strcmp(rest, open[i]) != 0) i++;
    LLVMSetVisibility(f, LLVMDefaultVisibility); // clang hides all of a module for WebAssembly
    if (i < nopen) {
      const char *full = arena_printf(&l->arena, "%s_%s", n->prefix, rest);
      LLVMSetValueName2(f, full, strlen(full));
    } else {
      LLVMSetLinkage(f, LLVMInternalLinkage); // two models may be in one program
    }
  }
}

/* routes
 * ---------------------------------------------------------------------------------------------------------------------------------
 */
// status PREFIX_ROUTE(ptr ctx, word dims.., ptr inputs.., ptr outputs..): arrays of them, and PREFIX_call.
static void emit_route(Llvm *l, const ModelNames *n, size_t at) {
  const RouteNames *r = &n->route[at];
  const Graph *g = l->p->route.at[at].graph;
  size_t ndim = l->p->module->ndim, count = 0;
  LLVMTypeRef *type = ARENA_ARRAY(&l->arena, LLVMTypeRef, 1 + ndim + g->input.n + g->output.n);
  const char **name = ARENA_ARRAY(&l->arena, const char *, 1 + ndim + g->input.n + g->output.n);
  type[count] = l->ptr, name[count++] = "ctx";
  for (size_t j = 0; j < ndim; j++)
    if (r->dims >> j & 1) type[count] = l->word, name[count++] = r->dim[j];
  for (size_t i = 0; i < g->input.n; i++) type[count] = l->ptr, name[count++] = r->input[i];
  for (size_t i = 0; i < g->output.n; i++) type[count] = l->ptr, name[count++] = r->output[i];
  LLVMValueRef call = LLVMGetNamedFunction(l->module, "mdl_call");
  LLVMTypeRef call_type = LLVMGlobalGetValueType(call);
  LLVMValueRef fn = LLVMAddFunction(l->module, r->fn, LLVMFunctionType(l->i32, type, (unsigned)count, false));
  for (unsigned i = 0; i < count; i++) LLVMSetValueName2(LLVMGetParam(fn, i), name[i], strlen(name[i]));
  LLVMPositionBuilderAtEnd(l->b, LLVMAppendBasicBlockInContext(l->ctx, fn, "entry"));
  LLVMSetCurrentDebugLocation2(l->b, NULL);
  size_t sizes[] = {ndim, g->input.n, g->output.n};
  LLVMTypeRef element[] = {l->word, l->ptr, l->ptr};
  static const char *const label[] = {"dims", "in", "out"};
  LLVMValueRef array[3];
  unsigned param = 1;
  for (int k = 0; k < 3; k++) {
    array[k] = LLVMBuildAlloca(l->b, LLVMArrayType(element[k], (unsigned)(sizes[k] ? sizes[k] : 1)), label[k]);
    for (size_t i = 0; i < sizes[k]; i++) {
      bool used = k != 0 || (r->dims >> i & 1);
      LLVMValueRef index = LLVMConstInt(l->word, i, false),
                   to = LLVMBuildInBoundsGEP2(l->b, element[k], array[k], &index, 1, "");
      LLVMBuildStore(l->b, used ? LLVMGetParam(fn, param++) : LLVMConstNull(l->word), to);
    }
  }
  LLVMValueRef arg[] = {LLVMGetParam(fn, 0), LLVMConstInt(l->i32, at, false), array[0], array[1], array[2]};
  LLVMValueRef status = LLVMBuildCall2(l->b, call_type, call, arg, 5, "status");
  static const char *const extend[] = {"signext", "zeroext"}; // as the target's C passes an enum
  for (int i = 0; i < 2; i++) {
    unsigned kind = LLVMGetEnumAttributeKindForName(extend[i], strlen(extend[i]));
    LLVMAttributeRef a = LLVMGetEnumAttributeAtIndex(call, LLVMAttributeReturnIndex, kind);
    if (!a) continue;
    LLVMAddAttributeAtIndex(fn, LLVMAttributeReturnIndex, a);
    LLVMAddCallSiteAttribute(status, LLVMAttributeReturnIndex, a);
  }
  LLVMBuildRet(l->b, status);
}

bool emit_llvm_model(Llvm *l, const char **err) {
  ModelNames n = model_names(l->p, &(EmitModel){.prefix = l->o->prefix});
  emit_image(l, &n);
  bool ok = link_engine(l, "engine", err) && (!l->o->glue || link_engine(l, "glue", err));
  for (size_t i = 0; ok && i < l->p->route.n; i++)
    if (!l->p->trains || !l->p->route.at[i].graph->objective) emit_route(l, &n, i);
  if (ok) name_functions(l, &n);
  model_names_free(&n);
  return ok;
}
