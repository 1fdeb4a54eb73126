// graph_print.c: the text form of the graph IR. Syntax: ir/README.md; graph_parse.c reads it back.
//
//   module "vit" dims { B = 1..32 } modalities { vision "A", language "B" }
//   prepare "image" "picture" "size = 224"
//   weight "head.weight"
//   graph @classify "image classification" {
//     %1 = input "image" : f32[B,3,224,224]  # vit.sy:12:18
//     output "logits" = %9
//   }
// Every field is printed; what is not printed does not exist. Live values are numbered 1.. in order, which are their
// ids after graph_compact. The comment behind a value is its place and label; the parser keeps it as the label of a
// value without a place, so that print -> parse -> print is the identity on comments too.
#include "graph.h"
#include "ir_lex.h"
#include "precision.h"

#include <stdlib.h>
#include <string.h>

static void print_attr(Buf *b, const Attr *a) {
  buf_printf(b, "%s = ", attr_info[a->key].name);
  switch (attr_info[a->key].kind) {
  case AK_INT: buf_printf(b, "%lld", (long long)a->i); return;
  case AK_FLOAT: irlex_put_float(b, a->f); return;
  case AK_STR: irlex_put_string(b, a->s); return;
  case AK_INTS:
    buf_putc(b, '[');
    for (size_t i = 0; i < a->nv; i++) buf_printf(b, "%s%lld", i ? "," : "", (long long)a->v[i]);
    buf_putc(b, ']');
  }
}

static void print_name(Buf *b, const Value *v) {
  const char *name = value_str(v, A_name);
  if (!name) return;
  buf_putc(b, ' ');
  irlex_put_string(b, name);
}

static void print_attrs(Buf *b, const Value *v) {
  const char *open = " {";
  for (uint32_t i = 0; i < v->nattr; i++) {
    if (v->attr[i].key == A_name) continue;
    buf_puts(b, open);
    print_attr(b, &v->attr[i]);
    open = ", ";
  }
  if (open[0] == ',') buf_putc(b, '}');
}

static const char *const place_name[] = {[PLACE_NONE] = "none",     [PLACE_ARENA] = "arena",   [PLACE_INPUT] = "input",
                                         [PLACE_OUTPUT] = "output", [PLACE_WEIGHT] = "weight", [PLACE_ALIAS] = "alias"};

// ` at 4096` arena, ` at input 0 + 64` others; nothing if it is the usual one.
static void print_place(Buf *b, const Value *v) {
  const Place *p = &v->place;
  if (p->kind == (v->alias.id ? PLACE_ALIAS : PLACE_NONE) && !p->index && !p->offset) return;
  if (p->kind == PLACE_ARENA && !p->index) {
    buf_printf(b, " at %lld", (long long)p->offset);
    return;
  }
  buf_printf(b, " at %s %u", p->kind <= PLACE_ALIAS ? place_name[p->kind] : "?", p->index);
  if (p->offset) buf_printf(b, " + %lld", (long long)p->offset);
}

static void print_comment(Buf *b, const Module *m, const Value *v) {
  const char *path;
  uint32_t line, col;
  bool place = m->diag && diag_place(m->diag, v->span, &path, &line, &col);
  Buf c = {0};
  if (place) buf_printf(&c, "%s:%u:%u", path, line, col);
  if (place && v->label && v->label[0]) buf_putc(&c, ' ');
  if (v->label) buf_puts(&c, v->label);
  for (size_t i = 0; i < c.n; i++)
    if ((unsigned char)c.s[i] < ' ') c.s[i] = ' ';
  const char *s = c.s ? c.s : "";
  while (*s == ' ') s++;
  size_t n = strlen(s);
  while (n && s[n - 1] == ' ') n--;
  if (n) buf_puts(b, "  # ");
  buf_putn(b, s, n);
  buf_free(&c);
}

static void print_role(Buf *b, const Port *p) {
  if (p->role == ROLE_data) return;
  buf_printf(b, " role %s", role_info[p->role].name);
  if (role_info[p->role].pair != PAIR_NONE) buf_printf(b, " pair %u", p->pair);
  if (p->role == ROLE_param) buf_printf(b, " offset %lld", (long long)p->offset);
}

// Of what an operator makes of weights or of what is kept: what is computed at every call goes without saying.
static void print_residency(Buf *b, const Graph *g, uint32_t id) {
  Res r = graph_residency(g, (Val){id});
  if (!(op_info[g->value.at[id].op].flags & F_SOURCE) && r != RES_act) buf_printf(b, " res %s", res_info[r].name);
}

static void print_value(Buf *b, const Graph *g, const Value *v, const uint32_t *number, uint32_t id) {
  buf_printf(b, "  %%%u = %s", number[id], op_info[v->op].name);
  print_name(b, v);
  for (uint32_t i = 0; i < v->nargs; i++)
    buf_printf(b, "%s%%%u", i == value_operands(v) ? " after " : i ? ", " : " ", number[v->args[i].id]);
  print_attrs(b, v);
  buf_puts(b, " : ");
  type_print(b, g->module, &v->type);
  if (v->op == OP_input) print_role(b, graph_input_port(g, (Val){id}));
  print_residency(b, g, id);
  if (v->group) buf_printf(b, " group %u", v->group);
  if (v->pitch) buf_printf(b, " pitch %lld", (long long)v->pitch);
  print_place(b, v);
  if (v->alias.id) buf_printf(b, " in %%%u", number[v->alias.id]);
  if (v->alias_offset) buf_printf(b, " shift %lld", (long long)v->alias_offset);
  print_comment(b, g->module, v);
  buf_putc(b, '\n');
}

void graph_print(const Graph *g, Buf *out) {
  uint32_t *number = calloc(g->value.n, sizeof *number), count = 0;
  if (!number) out_of_memory(g->value.n * sizeof *number);
  for (size_t id = 1; id < g->value.n; id++)
    if (!g->value.at[id].dead) number[id] = ++count;
  buf_printf(out, "graph @%s%s", g->name, g->objective ? " objective" : "");
  if (g->about) {
    buf_putc(out, ' ');
    irlex_put_string(out, g->about);
  }
  buf_puts(out, " {\n");
  for (uint32_t id = 1; id < g->value.n; id++)
    if (!g->value.at[id].dead) print_value(out, g, &g->value.at[id], number, id);
  for (size_t i = 0; i < g->output.n; i++) {
    buf_puts(out, "  output ");
    irlex_put_string(out, g->output.at[i].name);
    buf_printf(out, " = %%%u", number[g->output.at[i].val.id]);
    if (g->output.at[i].state.id) buf_printf(out, " changes %%%u", number[g->output.at[i].state.id]);
    print_role(out, &g->output.at[i]);
    buf_putc(out, '\n');
  }
  buf_puts(out, "}\n");
  free(number);
}

// generate "caption" next_word start @caption_start step @caption_step {start = 1, end = 2}
static void print_generate(Buf *out, const Generate *x) {
  buf_puts(out, "generate ");
  irlex_put_string(out, x->name);
  buf_printf(out, " %s start @%s", rule_info[x->rule].name, x->start->name);
  if (x->step) buf_printf(out, " step @%s", x->step->name);
  if (x->prompt) {
    buf_puts(out, " prompt ");
    irlex_put_string(out, x->prompt);
  }
  const char *open = " {";
  for (size_t i = 0; i < search_option_count; i++) {
    double v = search_get(&x->option, i);
    if (v == search_option[i].absent) continue;
    buf_printf(out, "%s%s = ", open, search_option[i].name);
    if (search_option[i].kind == OPTION_REAL)
      irlex_put_float(out, v);
    else
      buf_printf(out, "%lld", (long long)v);
    open = ", ";
  }
  buf_puts(out, *open == ',' ? "}\n" : "\n");
}

void module_print(const Module *m, Buf *out) {
  buf_puts(out, "module ");
  irlex_put_string(out, m->name);
  if (m->after) buf_printf(out, " after %s", m->after);
  for (size_t i = 0; i < m->ndim; i++)
    buf_printf(out, "%s%s = %lld..%lld%s", i ? ", " : " dims { ", m->dim[i].name, (long long)m->dim[i].lo,
               (long long)m->dim[i].hi, i + 1 == m->ndim ? " }" : "");
  for (size_t i = 0; i < m->nmodality; i++) {
    buf_printf(out, "%s%s ", i ? ", " : " modalities { ", m->modality[i].name);
    irlex_put_string(out, m->modality[i].infix ? m->modality[i].infix : "");
    if (i + 1 == m->nmodality) buf_puts(out, " }");
  }
  buf_putc(out, '\n');
  if (m->built) {
    buf_puts(out, "built ");
    irlex_put_string(out, m->built);
    buf_putc(out, '\n');
  }
  for (size_t i = 0; i < m->prepare.n; i++) {
    const char *part[3] = {m->prepare.at[i].name, m->prepare.at[i].kind, m->prepare.at[i].options};
    buf_puts(out, "prepare");
    for (int k = 0; k < 3; k++) {
      buf_putc(out, ' ');
      irlex_put_string(out, part[k] ? part[k] : "");
    }
    buf_putc(out, '\n');
  }
  for (size_t i = 0; i < m->rename.n; i++) {
    const Rename *r = &m->rename.at[i];
    const char *part[3] = {r->set, r->ours, r->how};
    buf_puts(out, "rename");
    for (size_t k = 0; k < 3 + r->n; k++) {
      buf_putc(out, ' ');
      irlex_put_string(out, k < 3 ? part[k] : r->theirs[k - 3]);
    }
    buf_putc(out, '\n');
  }
  for (size_t i = 0; m->precision && i < m->precision->rule.n; i++) {
    const PrecisionRule *r = &m->precision->rule.at[i];
    const char *part[3] = {m->precision->name, r->pattern, r->is->name};
    buf_puts(out, "precision");
    for (int k = 0; k < 3; k++) {
      buf_putc(out, ' ');
      irlex_put_string(out, part[k]);
    }
    buf_putc(out, '\n');
  }
  for (size_t i = 0; i < m->weight.n; i++) {
    buf_puts(out, "weight ");
    irlex_put_string(out, m->weight.at[i].name);
    buf_putc(out, '\n');
  }
  for (size_t i = 0; i < m->graph.n; i++) graph_print(m->graph.at[i], out);
  for (size_t i = 0; i < m->generate.n; i++) print_generate(out, &m->generate.at[i]);
  for (size_t i = 0; i < m->stage.n; i++) stage_print(&m->stage.at[i], out);
}
