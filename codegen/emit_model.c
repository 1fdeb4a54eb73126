// emit_model.c: a Program as one C file: what each route does (tables of steps, one commented row a launch), the
// kernels of every target in guarded sections, within the engine (runtime/engine/engine.c), which checks calls and runs
// steps.
//
// Invariants: no mutable static data, no dependency but the C library, equal programs give equal bytes; a kernel is
// printed once a target however many steps use it.
//
//   static const vit_step vit_steps_classify[] = {
//     /* vit.sy:41 linear qkv f32[B,197,768] x [768,2304] + bias: 0.70 GFLOP, tile 8x48 */
//     {vit_k_gemm_k768_n2304_bias, {A(0), W(1769472), W(8847360), A(19365888)}, 697303040.0},
#include "image.h"
#include "template.h"
#include "training.h"

#include "runtime/weights_format.h"

#include <string.h>

static void emit_rule(Buf *out, const char *title) {
  buf_putc(out, '\n');
  emit_section(out, title, strlen(title));
  buf_putc(out, '\n');
}

/* numbers and structs -------------------------------------------------------------------------------------------------
 */
static uint32_t max_args(const Program *p) {
  uint32_t n = p->trains ? 5 : 2; // of updates, of the probe
  for (size_t r = 0; r < p->route.n; r++)
    for (size_t i = 0; i < p->route.at[r].step.n; i++)
      if (p->route.at[r].step.at[i].narg > n) n = p->route.at[r].step.at[i].narg;
  return n;
}

static void emit_numbers(const Program *p, const ModelNames *n, Buf *out) {
  const char *u = n->own_upper;
  size_t dims = p->module->ndim ? p->module->ndim : 1;
  buf_printf(out, "#define %s_KERNELS %zu\n", u, p->kernel.n ? p->kernel.n : 1);
  buf_printf(out, "#define %s_MAX_ARGS %u\n#define %s_ARG_DIMS %zu\n", u, max_args(p), u, dims);
  buf_printf(out, "#define %s_WEIGHTS_DATA %lluu /* where the packed weights begin in their file */\n", u,
             (unsigned long long)sy_weights_data_offset(p->weight.n));
  buf_printf(out, "#define %s_WEIGHTS_COUNT %zuu\n\n", u, p->weight.n);
}

/* steps ---------------------------------------------------------------------------------------------------------------
 */
static void emit_kernel_enum(const Program *p, const ModelNames *n, Buf *out) {
  buf_puts(out, "enum { /* kernels */\n");
  for (size_t i = 0; i < p->kernel.n; i++) {
    const Kernel *k = p->kernel.at[i].k[p->ntarget - 1]; // its tile: that of the preferred set, as in the steps
    buf_printf(out, "  %s_k_%s%s", n->own, n->kernel[i], i + 1 < p->kernel.n ? "," : "");
    if (k && k->about && *k->about) {
      buf_puts(out, " /* ");
      emit_comment(out, k->about);
      buf_puts(out, " */");
    }
    buf_putc(out, '\n');
  }
  if (!p->kernel.n) buf_printf(out, "  %s_k_none\n", n->own);
  buf_puts(out, "};\n");
}

static void emit_weight_list(const Program *p, Buf *out) {
  buf_puts(out, "/* Packed weights: W(offset), and what is there.\n");
  for (size_t i = 0; i < p->weight.n; i++) {
    const PackedWeight *w = &p->weight.at[i];
    buf_printf(out, " *   %10llu %10llu bytes  ", (unsigned long long)w->offset, (unsigned long long)w->bytes);
    emit_comment(out, w->label ? w->label : "");
    buf_putc(out, '\n');
  }
  buf_puts(out, " */\n");
}

static void emit_steps(const Image *im, Buf *out) {
  buf_puts(
      out,
      "/* Where an operand is: the arena (number of the place, where it begins), the weights, an input or output of\n"
      " * the caller; and the byte offset. */\n");
  image_c_forms(im, true, out);
  buf_putc(out, '\n');
  image_c(im, PART_STEPS, NULL, false, out);
  buf_putc(out, '\n');
  image_c_forms(im, false, out);
}

/* kernels -------------------------------------------------------------------------------------------------------------
 */
static void emit_task_functions(const Image *im, Buf *out) {
  buf_puts(out, "/* How many tasks a kernel has for the run-time dims d. */\n");
  for (size_t i = 0; i < im->function.n; i++) {
    const ImageFunction *f = &im->function.at[i];
    if (!f->tasks) continue;
    buf_printf(out, "%s_UNUSED static size_t ", im->names->own_upper);
    template_words(im->names, f->name, out);
    buf_printf(out, "(const size_t *d) {\n  (void)d;\n  return %s;\n}\n", f->tasks);
  }
}

static unsigned helpers_of(const Image *im) {
  unsigned need = 0;
  for (size_t i = 0; i < im->function.n; i++)
    if (im->function.at[i].k) need |= kernel_helpers(im->function.at[i].k);
  return need;
}

static void emit_section_of(const Image *im, size_t t, Buf *out) {
  const Target *target = im->p->target[t];
  const char *condition = target->isa->family->compiled;
  bool always = !strcmp(condition, "1");
  Buf title = {0};
  buf_printf(&title, "Kernels: %s", target->name);
  emit_rule(out, title.s);
  buf_free(&title);
  if (!always) buf_printf(out, "#if %s\n", condition);
  emit_c_prelude(target, &(Prelude){im->p->target, t, helpers_of(im)}, out);
  EmitFunctions functions = {0};
  for (size_t i = 0; i < im->function.n; i++) {
    const ImageFunction *f = &im->function.at[i];
    if (f->tasks || f->target != target) continue;
    Buf name = {0};
    template_words(im->names, f->name, &name);
    emit_c_kernel(f->k, target, &(EmitC){im->names->own, name.s, "  ", &functions}, out);
    buf_putc(out, '\n');
    buf_free(&name);
  }
  emit_c_functions_free(&functions);
  image_c(im, PART_KERNELS, target, false, out);
  if (!always) buf_printf(out, "#endif /* %s */\n", target->name);
}

/* the parts of engine.c -----------------------------------------------------------------------------------------------
 */
static void part_title(const ModelText *m, Buf *out) {
  buf_puts(out, "/* The compiled model \"");
  emit_comment(out, m->p->module->name);
  buf_printf(out, "\" in C. Generated by syc; do not edit. Interface: %s.\n *\n", m->o->header_name);
  buf_puts(
      out,
      " * Steps of the routes, then the kernels of each instruction set, then checking and running calls. Nothing is\n"
      " * allocated and nothing static is written. Build with -O2 -ffp-contract=off and without fast-math. */\n");
  buf_printf(out, "#include \"%s\"\n\n", m->o->header_name);
  emit_header_check(m->p, m->n, m->o, out);
}

static void part_numbers(const ModelText *m, Buf *out) {
  emit_numbers(m->p, m->n, out);
}

static void part_tables(const ModelText *m, Buf *out) {
  const Program *p = m->p;
  Image im = image_of(p, m->n, &(ImageOf){.prepare = m->o->describe_host});
  buf_putc(out, '\n');
  image_c(&im, PART_BOUNDS, NULL, false, out);
  emit_rule(out, "Steps");
  emit_kernel_enum(p, m->n, out);
  buf_putc(out, '\n');
  emit_weight_list(p, out);
  buf_putc(out, '\n');
  emit_steps(&im, out);
  emit_rule(out, "Kernels: what all instruction sets share");
  emit_c_prelude(NULL, &(Prelude){.helpers = helpers_of(&im)}, out);
  emit_task_functions(&im, out);
  for (size_t t = 0; t < p->ntarget; t++) emit_section_of(&im, t, out);
  emit_rule(out, "Tables");
  image_c(&im, PART_TABLES, NULL, false, out);
  image_free(&im);
}

static void part_train_tables(const ModelText *m, Buf *out) {
  static const TextPartRow none[] = {{NULL, NULL}};
  if (program_trains(m->p)) template_print("update.h", m, none, out);
}

static void part_training(const ModelText *m, Buf *out) {
  static const TextPartRow none[] = {{NULL, NULL}};
  if (program_trains(m->p)) template_print("train.c", m, none, out);
}

static void part_train_glue(const ModelText *m, Buf *out) {
  static const TextPartRow none[] = {{NULL, NULL}};
  if (program_trains(m->p))
    template_print("train_glue.c", m, none, out);
  else
    buf_printf(out, "#define %s_TRAINING NULL\n", m->n->own_upper);
}

static void part_route_functions(const ModelText *m, Buf *out) {
  emit_rule(out, "Routes");
  for (size_t i = 0; i < m->p->route.n; i++) {
    if (program_trains(m->p) && m->p->route.at[i].graph->objective) continue; // mdl_grad
    if (i) buf_putc(out, '\n');
    emit_route_definition(m->p, m->n, i, out);
  }
}

void emit_model_c(const Program *p, const EmitModel *o, Buf *out) {
  static const TextPartRow parts[] = {{"title", part_title},
                                      {"numbers", part_numbers},
                                      {"train_tables", part_train_tables},
                                      {"tables", part_tables},
                                      {"training", part_training},
                                      {"route_functions", part_route_functions},
                                      {NULL, NULL}};
  ModelNames n = model_names(p, o);
  template_print("engine.c", &(ModelText){p, o, &n}, parts, out);
  model_names_free(&n);
}

/* the glue ------------------------------------------------------------------------------------------------------------
 */
void emit_model_glue(const Program *p, const EmitModel *o, Buf *out) {
  static const TextPartRow parts[] = {{"training", part_train_glue}, {NULL, NULL}};
  ModelNames n = model_names(p, o);
  Image im = image_of_glue(p, &n, &(ImageOf){.prepare = o->describe_host});
  buf_puts(out, "/* The compiled model \"");
  emit_comment(out, p->module->name);
  buf_puts(out, "\" as a sy_model, for programs that drive any model.\n * Generated by syc; do not edit. */\n");
  buf_printf(out, "#include \"%s\"\n#include \"switchyard.h\"\n\n", o->header_name);
  image_c(&im, PART_TABLES, NULL, true, out);
  template_print("glue.c", &(ModelText){p, o, &n}, parts, out);
  image_free(&im);
  model_names_free(&n);
}
