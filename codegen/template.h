// template.h: files of runtime/engine as the text of a model. They are C that compiles on its own, about a model named
// `mdl`; printed, they are about this one. Four kinds of lines are not text:
//
//   //@ alone .. //@ end   for the file on its own: not printed
//   //@ section TITLE      a comment across the page
//   //@ NAME               here a function prints what differs from model to model
//   #include "FILE"        here FILE is printed, by the same rules
//
// Words that begin with mdl_, MDL_ get the prefix of the model; sy_weights_, SY_WEIGHTS_ of runtime/weights_format.h
// and sy_cpu_, SY_CPU_ of runtime/cpu_words.h that of the names which no page can reach:
//
//   mdl_init MDL_OK mdl__work sy_weights_find   ->   vit_init VIT_OK vit__work vit__weights_find
#ifndef SY_TEMPLATE_H
#define SY_TEMPLATE_H

#include "emit_model.h"
#include "ir/base/embed.h"

extern const EmbeddedFile engine_files[]; // runtime/engine/*, weights_format.h and cpu_words.h, made by the build

typedef struct ModelText { // the text of a model being printed, and what its parts are made from
  const Program *p;
  const EmitModel *o;
  const ModelNames *n;
} ModelText;
typedef void TextPart(const ModelText *m, Buf *out);
typedef struct TextPartRow {
  const char *name;
  TextPart *print; // NULL: nothing is printed there
} TextPartRow;

// Appends a file ("engine.c"). The table of parts ends with a NULL name; a part that is not in it is an internal error.
void template_print(const char *file, const ModelText *m, const TextPartRow *parts, Buf *out);
void template_words(const ModelNames *n, const char *s, Buf *out); // a text with those words replaced
void emit_section(Buf *out, const char *title, size_t len);        // "/* ---- title ---- .. */" and a line break

#endif
