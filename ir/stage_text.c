// stage_text.c: a stage as text in the IR: its lines, as the page says them with all numbers evaluated.
//
//   stage "pairs" from "language" "what it is" {
//     objective pretrain
//     only "*mlp_text*", "*norm2_text*"
//     optimiser adamw_hf(lr = 0x1.a36e2eb1c432dp-13, betas = [0x1.ccccccccccccdp-1, 0x1.f5c28f5c28f5cp-1])
//     input text, mlm_labels: mask_words(mask = 103)
//   }
//
// A line ends where no comma follows. Reading takes the lines (stage_take), so a text has the meaning of its page.
#include "stage.h"

#include <math.h>
#include <string.h>

enum { MAX_ITEMS = 4096, MAX_VALUE_DEPTH = 4 };

/* printing
 * -------------------------------------------------------------------------------------------------------------- */

static void print_args(Buf *out, const StageArg *x, size_t n);

static void print_value(Buf *out, const StageValue *v) {
  switch (v->kind) {
  case SV_NUMBER:
    if (v->number == floor(v->number) && fabs(v->number) < 1e15)
      buf_printf(out, "%lld", (long long)v->number);
    else
      irlex_put_float(out, v->number);
    break;
  case SV_TRUTH: buf_puts(out, v->number != 0 ? "true" : "false"); break;
  case SV_WORD: buf_puts(out, v->text); break;
  case SV_TEXT: irlex_put_string(out, v->text); break;
  case SV_LIST:
    buf_putc(out, '[');
    print_args(out, v->item, v->n);
    buf_putc(out, ']');
    break;
  case SV_CALL:
    buf_printf(out, "%s(", v->text);
    print_args(out, v->item, v->n);
    buf_putc(out, ')');
    break;
  }
}

static void print_args(Buf *out, const StageArg *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    buf_puts(out, i ? ", " : "");
    if (x[i].name) buf_printf(out, "%s = ", x[i].name);
    print_value(out, &x[i].value);
  }
}

void stage_print(const Stage *s, Buf *out) {
  buf_puts(out, "stage ");
  irlex_put_string(out, s->name);
  if (s->from) {
    buf_puts(out, " from ");
    irlex_put_string(out, s->from);
  }
  if (s->about && *s->about) {
    buf_putc(out, ' ');
    irlex_put_string(out, s->about);
  }
  buf_puts(out, " {\n");
  for (size_t i = 0; i < s->nline; i++) {
    const StageLine *l = &s->line[i];
    buf_printf(out, "  %s%s", stage_word[l->word].name, l->narg ? " " : "");
    print_args(out, l->arg, l->narg);
    if (l->nmore) buf_puts(out, ": ");
    print_args(out, l->more, l->nmore);
    buf_putc(out, '\n');
  }
  buf_puts(out, "}\n");
}

/* reading
 * --------------------------------------------------------------------------------------------------------------- */

static bool parse_args(Arena *a, IrLex *l, const char *close, unsigned depth, const StageArg **at, size_t *n);

static bool parse_value(Arena *a, IrLex *l, unsigned depth, StageValue *v) {
  *v = (StageValue){.span = irlex_span(l)};
  if (depth > MAX_VALUE_DEPTH) return irlex_error(l, "E0223", "values are nested more than %d deep", MAX_VALUE_DEPTH);
  if (irlex_accept(l, "[")) {
    v->kind = SV_LIST;
    return parse_args(a, l, "]", depth + 1, &v->item, &v->n);
  }
  if (l->tok == IT_STRING) {
    v->kind = SV_TEXT;
    return irlex_string(l, &v->text);
  }
  if (l->tok != IT_IDENT) {
    v->kind = SV_NUMBER;
    return irlex_float(l, &v->number);
  }
  v->kind = irlex_is(l, "true") || irlex_is(l, "false") ? SV_TRUTH : SV_WORD;
  v->number = irlex_is(l, "true");
  if (!irlex_ident(l, &v->text)) return false;
  if (v->kind != SV_WORD || !irlex_accept(l, "(")) return true;
  v->kind = SV_CALL;
  return parse_args(a, l, ")", depth + 1, &v->item, &v->n);
}

// name "=" value, or a value. Values in front, separated by commas; `close` NULL: up to where no comma follows.
static bool parse_args(Arena *a, IrLex *l, const char *close, unsigned depth, const StageArg **at, size_t *n) {
  VEC(StageArg) list = {0};
  if (close && irlex_accept(l, close)) return true;
  do {
    StageArg x = {0};
    IrLex ahead = *l;
    if (list.n == MAX_ITEMS) return irlex_error(l, "E0223", "a list of more than %d values", MAX_ITEMS);
    if (l->tok == IT_IDENT) {
      const char *name = l->s;
      irlex_next(&ahead);
      if (irlex_accept(&ahead, "=")) x.name = name, *l = ahead;
    }
    if (!parse_value(a, l, depth, &x.value)) return false;
    VEC_PUSH(a, list, x);
  } while (irlex_accept(l, ","));
  *at = list.at, *n = list.n;
  return !close || irlex_expect(l, close);
}

bool stage_parse_value(Arena *a, IrLex *l, StageValue *v) {
  return parse_value(a, l, 0, v);
}

bool stage_parse(Arena *a, IrLex *l, Stage *s) {
  VEC(StageLine) line = {0};
  *s = (Stage){.span = irlex_span(l), .about = ""};
  if (!irlex_string(l, &s->name)) return false;
  if (irlex_accept(l, "from") && !irlex_string(l, &s->from)) return false;
  if (l->tok == IT_STRING && !irlex_string(l, &s->about)) return false;
  if (!irlex_expect(l, "{")) return false;
  while (!irlex_accept(l, "}")) {
    StageLine x = {.word = STAGE_WORD_COUNT, .span = irlex_span(l)};
    if (l->tok == IT_IDENT) x.word = stage_word_by_name(l->s);
    if (x.word == STAGE_WORD_COUNT) return irlex_error(l, "E0221", "expected a line of a stage, as in `batch 32`");
    if (line.n == MAX_ITEMS) return irlex_error(l, "E0223", "a stage of more than %d lines", MAX_ITEMS);
    irlex_next(l);
    if (!parse_args(a, l, NULL, 0, &x.arg, &x.narg)) return false;
    if (irlex_accept(l, ":") && !parse_args(a, l, NULL, 0, &x.more, &x.nmore)) return false;
    VEC_PUSH(a, line, x);
  }
  s->line = line.at, s->nline = line.n;
  return stage_take(a, l->diag, s);
}
