// folder.h: a folder as it is published (Hugging Face's transformers, open_clip, timm) as a spec.
//
//   session_read_spec("./clip-vit-base-patch32")
//     folder.c          which files there are; the page with a preset for them, and the weights
//     folder_table.c    models/NAME.config: which folders are the page NAME, and what their fields are
//     folder_fields.c   config.json by such a table: values of parameters, fields that are refused
//     folder_picture.c  preprocessor_config.json and the like: how pictures are prepared
//
// Nothing of a folder is trusted: JSON is bounded before it is parsed, and every field is known or refused.
#ifndef SY_FOLDER_H
#define SY_FOLDER_H

#include "driver.h"

#include <cjson/cJSON.h>

/* folder_table.c */
typedef struct TableLine { // "set dim = hidden_size : 768": verb "set", words "dim" "=" "hidden_size" ":" "768"
  const char *verb, *rest;
  StrList word;
} TableLine;
typedef struct FolderTable { // the lines behind one `type` of one file
  const char *page;          // "vit": models/vit.sy; "huggingface" of the common lines
  StrList type;              // "huggingface" "vit" "..": the form of the folder, and names of its types
  VEC(TableLine) line;
} FolderTable;
typedef VEC(FolderTable) FolderTables;
FolderTables folder_tables(Session *s); // of all files models/*.config
// The table of a type ("huggingface", "vit"; name NULL: the form alone), or NULL. Types known: see folder_known.
const FolderTable *folder_table(const FolderTables *all, const char *form, const char *name);
// The table of timm that has a row for an architecture, with that row; or NULL.
const FolderTable *folder_architecture(const FolderTables *all, const char *name, const TableLine **row);
const char *folder_known(Session *s, const FolderTables *all, const char *form); // "beit, bert, ..."
// The i-th line of a verb, or NULL.
const TableLine *table_line(const FolderTable *t, const char *verb, size_t i);

/* one folder being read */
typedef struct FolderValue {
  const char *param, *text, *from; // "dim", "768", "text_config.hidden_size"
} FolderValue;
typedef struct Folder {
  Session *s;
  const char *dir;
  const char *file;          // what the fields are in: "config.json"
  cJSON *config;             // its object
  const FolderTable *table;  // of the type
  const FolderTable *common; // fields that every file of the form may have, or NULL
  const char *model;         // of the page
  const FrontModel *known;   // what the page says of it
  VEC(FolderValue) value;
  StrList field;    // patterns of fields that are known
  Buf refused;      // "\n  FIELD = VALUE: why", a line each
  Buf noted;        // fields that were left out because they say nothing, or by --ignore-field
  Buf prepare;      // lines of the preset's body
  Buf facts;        // "config.json (clip), preprocessor_config.json"
  StrList doubtful; // fields that a copy of their section lacks
} Folder;

/* folder.c */
// A file of the folder as JSON, an object; *there = false and NULL if it is not there, NULL after reporting.
cJSON *folder_json(Folder *f, const char *name, bool *there);
// Notes a field that the page cannot honour, unless --ignore-field allows it.
void folder_refuse(Folder *f, const char *file, const char *path, const cJSON *value, const char *fmt, ...)
    SY_PRINTF(5, 6);
const char *folder_value_text(Session *s, const cJSON *v); // as JSON, cut where it is long

/* folder_fields.c */
// The member at "a.b.2"; NULL if it is not there, or null.
const cJSON *folder_at(const cJSON *object, const char *path);
void folder_fields(Folder *f, const TableLine *architecture); // fills value, field, refused
const char *folder_value(const Folder *f, const char *param); // the text of a parameter, or NULL
void folder_change(Folder *f, const char *param, int value);  // of a parameter that has one
// Refuses the fields of an object that no pattern of `known` fits; `file` is where it stands.
void folder_unknown(Folder *f, const char *file, const cJSON *object, const StrList *known);

/* folder_picture.c */
// Adds prepares of pictures by preprocessor_config.json, open_clip_config.json or timm's pretrained_cfg. False after
// reporting.
bool folder_pictures(Folder *f);
bool folder_sentences(Folder *f); // the same for tokenizer_config.json

#endif
