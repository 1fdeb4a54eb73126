// image_c.c: tables of an Image as C: static const data with constant initialisers, a row a line.
//
//   static const vit__step vit__steps_classify[] = {
//     {vit__k_map, {IN(0, 0), W(0), A(0, 0, 0)}, 602112.0}, /* 0: vit.sy:41 .. */
#include "image.h"

#include "template.h"

#include <math.h>
#include <string.h>

typedef struct Printer {
  const Image *im;
  bool glue;
  Buf *out;
} Printer;

static void put_name(const Printer *c, const char *name) {
  template_words(c->im->names, name, c->out);
}

static void put_uint(const Printer *c, uint64_t u, bool mask) {
  if (mask)
    buf_printf(c->out, "0x%llxu", (unsigned long long)u);
  else if (u > INT64_MAX)
    buf_printf(c->out, "UINT64_C(0x%016llx)", (unsigned long long)u);
  else
    buf_printf(c->out, "%llu", (unsigned long long)u);
}

static void put_real(Buf *out, double f) {
  if (!isfinite(f)) ICE("a table has a number that is not finite");
  char text[40];
  snprintf(text, sizeof text, "%.17g", f);
  buf_printf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void put_cell(const Printer *c, const Member *m, const Cell *cell);

static void put_row(const Printer *c, const Record *r, const Cell *row) {
  buf_putc(c->out, '{');
  for (size_t i = 0; i < r->n; i++) {
    if (i) buf_puts(c->out, ", ");
    put_cell(c, &r->member[i], &row[i]);
  }
  buf_putc(c->out, '}');
}

static bool is_shown(const RecordForm *f, const char *member) {
  for (size_t i = 0; f->shown[i]; i++)
    if (!strcmp(f->shown[i], member)) return true;
  return false;
}

// The form that says all of a row, or NULL.
static const RecordForm *form_of(const Record *r, const Cell *row) {
  for (const RecordForm *f = record_forms; f->record; f++) {
    bool all = f->record == r && row[0].is.u == f->first;
    for (size_t i = 1; all && i < r->n; i++) all = is_shown(f, r->member[i].name) || row[i].is.u == 0;
    if (all) return f;
  }
  return NULL;
}

static void put_record(const Printer *c, const Record *r, const Cell *row) {
  const RecordForm *f = form_of(r, row);
  if (!f) {
    put_row(c, r, row);
    return;
  }
  buf_printf(c->out, "%s(", f->name);
  for (size_t i = 1, n = 0; i < r->n; i++)
    if (is_shown(f, r->member[i].name)) {
      if (n++) buf_puts(c->out, ", ");
      put_cell(c, &r->member[i], &row[i]);
    }
  buf_putc(c->out, ')');
}

static void put_rows_of(const Printer *c, const Table *t) {
  buf_puts(c->out, "(unsigned)(sizeof ");
  put_name(c, t->name);
  buf_puts(c->out, " / sizeof *");
  put_name(c, t->name);
  buf_puts(c->out, ") - 1");
}

static void put_char(Buf *out, uint64_t u) {
  if (u)
    buf_printf(out, "'%c'", (int)u);
  else
    buf_putc(out, '0');
}

static void put_one(const Printer *c, const Member *m, const Cell *v) {
  switch (m->kind) {
  case CK_NONE: ICE("a cell without a kind");
  case CK_U32:
    if (v->rows)
      put_rows_of(c, v->is.table);
    else
      put_uint(c, v->is.u, false);
    return;
  case CK_MASK: put_uint(c, v->is.u, true); return;
  case CK_KERNEL: buf_printf(c->out, "%s_k_%s", c->im->names->own, c->im->names->kernel[v->is.u]); return;
  case CK_U64: put_uint(c, v->is.u, false); return;
  case CK_HASH: buf_printf(c->out, "UINT64_C(0x%016llx)", (unsigned long long)v->is.u); return;
  case CK_I32:
  case CK_I64: buf_printf(c->out, "%lld", (long long)v->is.i); return;
  case CK_F64: put_real(c->out, v->is.f); return;
  case CK_CHAR: put_char(c->out, v->is.u); return;
  case CK_TEXT: emit_string(c->out, v->is.text); return;
  case CK_TEXTS:
  case CK_REF: put_name(c, v->is.table ? v->is.table->name : "NULL"); return;
  case CK_FUNCTION: put_name(c, v->is.u < c->im->function.n ? c->im->function.at[v->is.u].name : "NULL"); return;
  case CK_RECORD: put_record(c, m->record, v->is.row); return;
  }
}

static void put_cell(const Printer *c, const Member *m, const Cell *cell) {
  if (!m->count) {
    put_one(c, m, cell);
    return;
  }
  buf_putc(c->out, '{');
  for (size_t i = 0; i < cell->nlist; i++) {
    if (i) buf_puts(c->out, ", ");
    put_one(c, m, &cell->list[i]);
  }
  buf_putc(c->out, '}');
}

static void put_where(const Printer *c, Where where, const Target *t, bool begin) {
  const char *condition = where == WHERE_COMPILED ? t->isa->family->compiled
                          : where != EVERYWHERE   ? t->isa->family->is
                                                  : "1";
  bool other = where == WHERE_NOT_FAMILY;
  if (!strcmp(condition, "1")) return;
  if (!begin)
    buf_puts(c->out, "#endif\n");
  else
    buf_printf(c->out, other ? "#if !(%s)\n" : "#if %s\n", condition);
}

static const char *type_of(const Printer *c, const Table *t) {
  if (t->element.kind == CK_TEXT) return "char *const";
  return c->glue ? t->element.record->glue_type : t->element.record->type;
}

// "static const TYPE NAME[SIZE][INNER] = "
static void put_head(const Printer *c, const Table *t) {
  if (t->about) buf_printf(c->out, "/* %s */\n", t->about);
  buf_puts(c->out, "static const ");
  put_name(c, type_of(c, t));
  buf_putc(c->out, ' ');
  put_name(c, t->name);
  if (!t->one) {
    buf_putc(c->out, '[');
    put_name(c, t->size ? t->size : "");
    buf_putc(c->out, ']');
  }
  if (t->inner) {
    buf_putc(c->out, '[');
    put_name(c, t->inner);
    buf_putc(c->out, ']');
  }
  buf_puts(c->out, " = ");
}

// A struct that is a table of its own: a member a line.
static void put_struct(const Printer *c, const Record *r, const Cell *row) {
  buf_puts(c->out, "{\n");
  for (size_t i = 0; i < r->n; i++) {
    buf_puts(c->out, "  ");
    put_cell(c, &r->member[i], &row[i]);
    buf_printf(c->out, ", /* %s */\n", r->member[i].name);
  }
  buf_puts(c->out, "};\n");
}

static void put_rows(const Printer *c, const Table *t) {
  buf_puts(c->out, "{\n");
  for (size_t i = 0; i < t->row.n; i++) {
    const TableRow *r = &t->row.at[i];
    put_where(c, r->where, r->target, true);
    buf_puts(c->out, "  ");
    put_cell(c, &t->element, &r->cell);
    buf_putc(c->out, ',');
    if (r->comment) {
      buf_puts(c->out, " /* ");
      emit_comment(c->out, r->comment);
      buf_puts(c->out, " */");
    }
    buf_putc(c->out, '\n');
    put_where(c, r->where, r->target, false);
  }
  buf_puts(c->out, "};\n");
}

static void put_table(const Printer *c, const Table *t) {
  if (t->guard) {
    buf_puts(c->out, "#if ");
    put_name(c, t->guard);
    buf_putc(c->out, '\n');
  }
  put_head(c, t);
  if (t->one)
    put_struct(c, t->element.record, t->row.at[0].cell.is.row);
  else
    put_rows(c, t);
  if (t->guard) buf_puts(c->out, "#endif\n");
}

void image_c(const Image *im, TablePart part, const Target *target, bool glue, Buf *out) {
  const Printer c = {im, glue, out};
  for (size_t i = 0, n = 0; i < im->table.n; i++) {
    const Table *t = im->table.at[i];
    if (t->part != part || (target && t->target != target)) continue;
    if (n++ && part == PART_STEPS) buf_putc(out, '\n'); // the others are short
    put_table(&c, t);
  }
}

void image_c_forms(const Image *im, bool define, Buf *out) {
  for (const RecordForm *f = record_forms; f->record; f++) {
    if (!define) {
      buf_printf(out, "#undef %s\n", f->name);
      continue;
    }
    buf_printf(out, "#define %s(", f->name);
    for (size_t i = 0; f->shown[i]; i++) buf_printf(out, "%s%s", i ? ", " : "", f->shown[i]);
    buf_puts(out, ") {");
    template_words(im->names, f->first_name, out);
    for (size_t i = 1; i < f->record->n; i++) {
      const char *name = f->record->member[i].name;
      buf_printf(out, ", %s", is_shown(f, name) ? name : "0");
    }
    buf_puts(out, "}\n");
  }
}
