/* parser.y: the grammar of the .sy language. Pure, reentrant; builds the tree of ast.h through tree.c.
 *
 * A file is a list of declarations, a body a list of statements; both are separated by newlines (the lexer decides which
 * newlines count). `@path` closes a statement, an argument or a parenthesis and covers the whole of it. After an error
 * the parser skips to the next newline or closing brace, so that one run reports several mistakes.
 */
%code requires {
#include "parse.h"
}
%code provides {
int sy_yylex(SY_YYSTYPE *v, Span *at, void *scan);
}
%code {
static void sy_yyerror(Span *at, void *scan, Parser *p, const char *msg);
static NodeList list_of(Parser *p, Node *n) {
  NodeList l = {0};
  if (n) node_list_add(p->arena, &l, n);
  return l;
}
static NodeList list_with(Parser *p, NodeList l, Node *n) {
  if (n) node_list_add(p->arena, &l, n);
  return l;
}
// Gives a node its parts and finishes it: fields as in ast_kinds.def.
#define NODE(kind, at, ...)                                                                                            \
  node_finish(p, node_fill(p, N_##kind, (at), (Node){__VA_ARGS__}))
}

%define api.prefix {sy_yy}
%define api.pure full
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%param {void *scan}
%parse-param {Parser *p}
%initial-action { @$ = (Span){p->file, 0, 0}; }

%code {
#define YYLLOC_DEFAULT(cur, rhs, n)                                                                                    \
  do {                                                                                                                 \
    if (n) {                                                                                                           \
      (cur) = span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n));                                                           \
    } else {                                                                                                           \
      (cur) = YYRHSLOC(rhs, 0);                                                                                        \
      (cur).lo = (cur).hi;                                                                                             \
    }                                                                                                                  \
  } while (0)
}

%union {
  TokenValue tok;
  Node *node;
  NodeList list;
  Path *path;
  int op;
}

%token END 0 "end of the text"
%token T_START_FILE T_START_EXPR T_START_RULES
%token T_BAD "this"
%token T_TYPE_OPEN "'['"
%token T_NEWLINE "end of line"
%token <tok> T_NAME "a name" T_SEGMENT "a segment" T_DTYPE "an element type"
%token <tok> T_INT "an integer" T_REAL "a real number" T_STRING "a string"
%token T_PATH "an @path"
%token T_TRAIN "'train'" T_EVALUATE "'evaluate'"
%token <tok> T_STAGE "a line of a stage"
%token T_LET "'let'" T_RETURN "'return'" T_REPEAT "'repeat'" T_IN "'in'" T_IF "'if'" T_ELSE "'else'" T_OTHERS "'else ->'"
%token T_AND "'and'" T_OR "'or'" T_NOT "'not'" T_IS "'is'" T_AS "'as'" T_TRUE "'true'" T_FALSE "'false'"
%token T_MULTIWAY "'multiway'" T_SWITCH "'switch'" T_USE "'use'" T_MODALITY "'modality'" T_MODEL "'model'"
%token T_BLOCK "'block'" T_ROUTE "'route'" T_PRESET "'preset'" T_DIM "'dim'" T_PREPARE "'prepare'"
%token T_OBJECTIVE "'objective'" T_STATE "'state'" T_UNDER "'under'" T_ASSIGN "'<-'"
%token T_WEIGHT "'weight'" T_GENERATE "'generate'" T_WORDS "'words'" T_RENAME "'rename'" T_PRECISION "'precision'"
%token T_ARROW "'->'" T_UNTIL "'..<'" T_REST "'...'" T_RANGE "'..'" T_EQ "'=='" T_NE "'!='" T_LE "'<='" T_GE "'>='"

%type <tok> name
%type <node> line use modality preset model block route generate words train stage let dim weight repeat return prepare
%type <node> param arg output expr and_expr not_expr cmp_expr add_expr mul_expr unary pow_expr postfix primary
%type <node> objective state assign
%type <node> rename precision rule string scoped body arm arm_value item type axis if_expr call name_node seg expr_stmt
%type <list> rules lines params params1 args args1 outputs outputs1 arms items names values modalities axes list_items
%type <list> axis_sum weights
%type <node> objective_weight from
%type <path> opt_path path
%type <op> cmp_op

%%

start:
  T_START_FILE lines { p->result = NODE(body, @$, .list = $2); }
| T_START_EXPR expr seps { p->result = $2; }
| T_START_RULES rules { p->result = NODE(precision, @$, .list = $2); }
;
seps: %empty | seps T_NEWLINE;

/* Declarations and statements share one rule: where each may stand is checked later, with a better message. */
lines:
  line { $$ = list_of(p, $1); }
| lines newline line { $$ = list_with(p, $1, $3); if (parse_stopped(p)) YYABORT; }
;
newline: T_NEWLINE { yyerrok; }; // after an error the next line is reported again
line:
  %empty { $$ = NULL; }
| error { $$ = NULL; }
| use | rename | precision | modality | preset | model | block | route | objective | generate | words | train | stage | let | state | assign | dim | weight | repeat | return | prepare | expr_stmt
;
body: '{' lines '}' { $$ = NODE(body, @$, .list = $2); };
name: T_NAME;
name_node: name { $$ = NODE(ident, @$, .name = $1.name, .name_span = @1); };

/* declarations */
use: T_USE name { $$ = NODE(use, @$, .name = $2.name, .name_span = @2); };
/* other names of the weights */
rename:
  T_RENAME name '{' rules '}' { $$ = NODE(rename, @$, .name = $2.name, .name_span = @2, .list = $4); }
| T_RENAME name '(' args ')' '{' rules '}' { $$ = NODE(rename, @$, .name = $2.name, .name_span = @2, .list = $7, .list2 = $4); }
;
/* in how many bits, by the paths of weights */
precision: T_PRECISION name '{' rules '}' { $$ = NODE(precision, @$, .name = $2.name, .name_span = @2, .list = $4); };
rules:
  %empty { $$ = (NodeList){0}; } | rules T_NEWLINE
| rules rule { $$ = list_with(p, $1, $2); }
| rules prepare { $$ = list_with(p, $1, $2); }
;
rule:
  T_STRING '=' string { $$ = NODE(rule, @$, .text = $1.name, .ntext = $1.n, .a = $3); }
| T_STRING '=' call { $$ = NODE(rule, @$, .text = $1.name, .ntext = $1.n, .a = $3); }
| T_STRING '=' name_node { $$ = NODE(rule, @$, .text = $1.name, .ntext = $1.n, .a = $3); }
| T_STRING '=' T_DTYPE { $$ = NODE(rule, @$, .text = $1.name, .ntext = $1.n, .a = NODE(ident, @3, .name = $3.name, .name_span = @3)); }
;
string: T_STRING { $$ = NODE(string, @$, .text = $1.name, .ntext = $1.n); };
modality: T_MODALITY modalities { $$ = NODE(body, @$, .list = $2); $$->op = N_modality; };
modalities:
  name T_STRING { $$ = list_of(p, NODE(modality, @$, .name = $1.name, .name_span = @1, .text = $2.name, .ntext = $2.n)); }
| name { $$ = list_of(p, NODE(modality, @$, .name = $1.name, .name_span = @1, .text = "")); }
| modalities ',' name T_STRING { $$ = list_with(p, $1, NODE(modality, @3, .name = $3.name, .name_span = @3, .text = $4.name, .ntext = $4.n)); }
| modalities ',' name { $$ = list_with(p, $1, NODE(modality, @3, .name = $3.name, .name_span = @3, .text = "")); }
;
preset:
  T_PRESET name '=' call { $$ = NODE(preset, @$, .name = $2.name, .name_span = @2, .a = $4); }
| T_PRESET name '=' call body { $$ = NODE(preset, @$, .name = $2.name, .name_span = @2, .a = $4, .b = $5); }
| T_PRESET name '=' call T_UNDER name_node { $$ = NODE(preset, @$, .name = $2.name, .name_span = @2, .a = $4, .c = $6); }
| T_PRESET name '=' call T_UNDER name_node body { $$ = NODE(preset, @$, .name = $2.name, .name_span = @2, .a = $4, .b = $7, .c = $6); }
;
model: T_MODEL name '(' params ')' body { $$ = NODE(model, @$, .name = $2.name, .name_span = @2, .list = $4, .a = $6); };
block:
  T_BLOCK name '(' params ')' opt_path body { $$ = NODE(block, @$, .name = $2.name, .name_span = @2, .list = $4, .path = $6, .a = $7); }
| T_BLOCK name '(' params ')' T_ARROW outputs opt_path body { $$ = NODE(block, @$, .name = $2.name, .name_span = @2, .list = $4, .list2 = $7, .path = $8, .a = $9); }
;
route:
  T_ROUTE name '(' params ')' T_ARROW outputs opt_path body { $$ = NODE(route, @$, .name = $2.name, .name_span = @2, .list = $4, .list2 = $7, .path = $8, .a = $9); }
;
objective:
  T_OBJECTIVE name '(' params ')' T_ARROW outputs opt_path body { $$ = NODE(objective, @$, .name = $2.name, .name_span = @2, .list = $4, .list2 = $7, .path = $8, .a = $9); }
;
generate:
  T_GENERATE name '(' params ')' opt_path body { $$ = NODE(generate, @$, .name = $2.name, .name_span = @2, .list = $4, .path = $6, .a = $7); }
;
/* a stage of training, and its lines */
train: T_TRAIN name from body { $$ = NODE(train, @$, .name = $2.name, .name_span = @2, .b = $3, .a = $4); };
from:
  %empty { $$ = NULL; }
| name name { $$ = NODE(ident, @2, .name = $2.name, .name_span = @2); parse_from(p, $1.name, @1); }
;
stage:
  T_OBJECTIVE weights { $$ = NODE(stage, @$, .name = "objective", .name_span = @1, .list = $2); }
| T_STAGE args1 { $$ = NODE(stage, @$, .name = $1.name, .name_span = @1, .list = $2); }
| T_STAGE args1 ':' args1 { $$ = NODE(stage, @$, .name = $1.name, .name_span = @1, .list = $2, .list2 = $4); }
| T_EVALUATE name expr ':' args1 { $$ = NODE(stage, @$, .name = "evaluate", .name_span = @1, .text = $2.name, .list = list_of(p, NODE(arg, @3, .a = $3)), .list2 = $5); }
| names ':' call { $$ = NODE(source, @$, .list = $1, .a = $3); }
;
weights: objective_weight { $$ = list_of(p, $1); } | weights ',' objective_weight { $$ = list_with(p, $1, $3); };
objective_weight:
  name_node { $$ = NODE(arg, @$, .a = $1); }
| name '=' expr { $$ = NODE(arg, @$, .name = $1.name, .name_span = @1, .a = $3); }
;

params: %empty { $$ = (NodeList){0}; } | params1 | params1 ',';
params1: param { $$ = list_of(p, $1); } | params1 ',' param { $$ = list_with(p, $1, $3); };
param:
  name { $$ = NODE(param, @$, .name = $1.name, .name_span = @1); }
| name '=' expr { $$ = NODE(param, @$, .name = $1.name, .name_span = @1, .a = $3); }
| name ':' type { $$ = NODE(param, @$, .name = $1.name, .name_span = @1, .type = $3); }
| name '?' ':' type { $$ = NODE(param, @$, .name = $1.name, .name_span = @1, .type = $4, .op = 1); }
| name ':' type '=' expr { $$ = NODE(param, @$, .name = $1.name, .name_span = @1, .type = $3, .a = $5); }
;
outputs: outputs1 | '(' outputs1 ')' { $$ = $2; };
outputs1: output { $$ = list_of(p, $1); } | outputs1 ',' output { $$ = list_with(p, $1, $3); };
output:
  name { $$ = NODE(output, @$, .name = $1.name, .name_span = @1); }
| name ':' type { $$ = NODE(output, @$, .name = $1.name, .name_span = @1, .type = $3); }
| type { $$ = NODE(output, @$, .name_span = @1, .type = $1); }
;

/* statements */
let:
  T_LET names '=' expr opt_path { $$ = NODE(let, @$, .list = $2, .a = $4, .path = $5); }
| T_LET name ':' type '=' expr opt_path { $$ = NODE(let, @$, .list = list_of(p, NODE(ident, @2, .name = $2.name, .name_span = @2)), .type = $4, .a = $6, .path = $7); }
;
names: name_node { $$ = list_of(p, $1); } | names ',' name_node { $$ = list_with(p, $1, $3); };
dim: T_DIM name '=' expr T_RANGE expr { $$ = NODE(dim, @$, .name = $2.name, .name_span = @2, .a = $4, .b = $6); };
weight:
  T_WEIGHT name ':' type opt_path { $$ = NODE(weight, @$, .name = $2.name, .name_span = @2, .type = $4, .path = $5); }
| T_WEIGHT name ':' type '=' call opt_path { $$ = NODE(weight, @$, .name = $2.name, .name_span = @2, .type = $4, .a = $6, .path = $7); }
;
state:
  T_STATE name ':' type opt_path { $$ = NODE(state, @$, .name = $2.name, .name_span = @2, .type = $4, .path = $5); }
| T_STATE name '=' call { $$ = NODE(average, @$, .name = $2.name, .name_span = @2, .a = $4); }
;
assign: name T_ASSIGN expr opt_path { $$ = NODE(assign, @$, .name = $1.name, .name_span = @1, .a = $3, .path = $4); };
repeat:
  T_REPEAT name T_IN expr body opt_path { $$ = NODE(repeat, @$, .name = $2.name, .name_span = @2, .a = $4, .c = $5, .path = $6); }
| T_REPEAT name T_IN expr T_RANGE expr body opt_path { $$ = NODE(repeat, @$, .name = $2.name, .name_span = @2, .a = $4, .b = $6, .c = $7, .path = $8); }
| T_REPEAT name T_IN expr T_UNTIL expr body opt_path { $$ = NODE(repeat, @$, .name = $2.name, .name_span = @2, .a = $4, .b = $6, .op = 1, .c = $7, .path = $8); }
;
return: T_RETURN values opt_path { $$ = NODE(return, @$, .list = $2, .path = $3); };
values: expr { $$ = list_of(p, $1); } | values ',' expr { $$ = list_with(p, $1, $3); };
prepare: T_PREPARE name ':' call { $$ = NODE(prepare, @$, .name = $2.name, .name_span = @2, .a = $4); };
words: T_WORDS name ':' type '=' call { $$ = NODE(words, @$, .name = $2.name, .name_span = @2, .type = $4, .a = $6); };
expr_stmt: expr opt_path { $$ = NODE(expr_stmt, @$, .a = $1, .path = $2); };
opt_path: %empty { $$ = NULL; } | path;
path: T_PATH { $$ = path_new(p, @1); };

/* types: f32[B, vision: 1 + patches + language: L, dim]; an axis is a sum whose terms may start a segment */
type:
  T_DTYPE { $$ = NODE(type, @$, .i = $1.i); }
| T_DTYPE T_TYPE_OPEN axes ']' { $$ = NODE(type, @$, .i = $1.i, .list = $3); }
| T_DTYPE T_TYPE_OPEN ']' { $$ = NODE(type, @$, .i = $1.i); }
;
axes: axis { $$ = list_of(p, $1); } | axes ',' axis { $$ = list_with(p, $1, $3); };
axis: axis_sum { $$ = NODE(axis, @$, .list = $1); };
axis_sum:
  seg { $$ = list_of(p, $1); }
| mul_expr { $$ = list_of(p, NODE(seg, @$, .a = $1)); }
| axis_sum '+' seg { $$ = list_with(p, $1, $3); }
| axis_sum '+' mul_expr { $$ = $1; seg_extend(p, &$$, AO_add, $3); }
| axis_sum '-' mul_expr { $$ = $1; seg_extend(p, &$$, AO_sub, $3); }
;
seg: T_SEGMENT mul_expr { $$ = NODE(seg, @$, .name = $1.name, .name_span = @1, .a = $2); };

/* expressions, loosest first */
scoped:
  expr
| expr path { $$ = NODE(scoped, @$, .a = $1, .path = $2); }
;
expr: and_expr | expr T_OR and_expr { $$ = node_binary(p, AO_or, $1, $3); };
and_expr: not_expr | and_expr T_AND not_expr { $$ = node_binary(p, AO_and, $1, $3); };
not_expr: cmp_expr | T_NOT not_expr { $$ = node_unary(p, AO_not, @1, $2); };
cmp_expr:
  add_expr
| add_expr cmp_op add_expr { $$ = node_binary(p, (AstOp)$2, $1, $3); }
| add_expr T_IS name { $$ = NODE(is, @$, .a = $1, .name = $3.name, .name_span = @3); }
;
cmp_op: T_EQ { $$ = AO_eq; } | T_NE { $$ = AO_ne; } | '<' { $$ = AO_lt; } | T_LE { $$ = AO_le; } | '>' { $$ = AO_gt; } | T_GE { $$ = AO_ge; };
add_expr:
  mul_expr
| add_expr '+' mul_expr { $$ = node_binary(p, AO_add, $1, $3); }
| add_expr '-' mul_expr { $$ = node_binary(p, AO_sub, $1, $3); }
;
mul_expr:
  unary
| mul_expr '*' unary { $$ = node_binary(p, AO_mul, $1, $3); }
| mul_expr '/' unary { $$ = node_binary(p, AO_div, $1, $3); }
| mul_expr '%' unary { $$ = node_binary(p, AO_mod, $1, $3); }
;
unary: pow_expr | '-' unary { $$ = node_unary(p, AO_neg, @1, $2); };
pow_expr: postfix | postfix '^' unary { $$ = node_binary(p, AO_pow, $1, $3); };
postfix:
  primary
| postfix '[' items ']' { $$ = NODE(index, @$, .a = $1, .list = $3); }
| postfix T_AS name { $$ = NODE(as, @$, .a = $1, .name = $3.name, .name_span = @3); }
| postfix T_AS T_STRING { $$ = NODE(as, @$, .a = $1, .text = $3.name, .ntext = $3.n, .name_span = @3); }
;
items: item { $$ = list_of(p, $1); } | items ',' item { $$ = list_with(p, $1, $3); };
item:
  ':' { $$ = NODE(item_all, @$, .i = 0); }
| T_REST { $$ = NODE(item_rest, @$, .i = 0); }
| expr { $$ = NODE(item_at, @$, .a = $1); }
| expr ':' { $$ = NODE(item_range, @$, .a = $1); }
| ':' expr { $$ = NODE(item_range, @$, .b = $2); }
| expr ':' expr { $$ = NODE(item_range, @$, .a = $1, .b = $3); }
| ':' ':' expr { $$ = NODE(item_range, @$, .c = $3); }
| expr ':' ':' expr { $$ = NODE(item_range, @$, .a = $1, .c = $4); }
| ':' expr ':' expr { $$ = NODE(item_range, @$, .b = $2, .c = $4); }
| expr ':' expr ':' expr { $$ = NODE(item_range, @$, .a = $1, .b = $3, .c = $5); }
;
primary:
  T_INT { $$ = NODE(int, @$, .i = $1.i); }
| T_REAL { $$ = NODE(real, @$, .f = $1.f); }
| T_TRUE { $$ = NODE(bool, @$, .i = 1); }
| T_FALSE { $$ = NODE(bool, @$, .i = 0); }
| string
| name_node
| call
| type
| '(' scoped ')' { $$ = $2; }
| '[' list_items ']' { $$ = NODE(list, @$, .list = $2); }
| '[' ']' { $$ = NODE(list, @$, .i = 0); }
| if_expr
| T_MULTIWAY name body { $$ = NODE(multiway, @$, .name = $2.name, .name_span = @2, .a = $3); }
| T_UNDER name body { $$ = NODE(under, @$, .name = $2.name, .name_span = @2, .a = $3); }
| T_SWITCH name '{' arms '}' { $$ = NODE(switch, @$, .name = $2.name, .name_span = @2, .list = $4); }
;
list_items: expr { $$ = list_of(p, $1); } | list_items ',' expr { $$ = list_with(p, $1, $3); } | list_items ',';
call: name '(' args ')' { $$ = NODE(call, @$, .name = $1.name, .name_span = @1, .list = $3); };
args: %empty { $$ = (NodeList){0}; } | args1 | args1 ',';
args1: arg { $$ = list_of(p, $1); } | args1 ',' arg { $$ = list_with(p, $1, $3); };
arg:
  scoped { $$ = NODE(arg, @$, .a = $1); }
| name '=' scoped { $$ = NODE(arg, @$, .name = $1.name, .name_span = @1, .a = $3); }
;
if_expr:
  T_IF expr body { $$ = NODE(if, @$, .a = $2, .b = $3); }
| T_IF expr body T_ELSE body { $$ = NODE(if, @$, .a = $2, .b = $3, .c = $5); }
| T_IF expr body T_ELSE if_expr { $$ = NODE(if, @$, .a = $2, .b = $3, .c = $5); }
;
arms: %empty { $$ = (NodeList){0}; } | arms T_NEWLINE | arms arm { $$ = list_with(p, $1, $2); };
arm:
  name T_ARROW arm_value { $$ = NODE(arm, @$, .name = $1.name, .name_span = @1, .a = $3); }
| T_OTHERS T_ARROW arm_value { $$ = NODE(arm, @$, .name_span = @1, .a = $3); }
;
arm_value: scoped | body;

%%

// Tokens that may follow any expression: naming them would say little.
static bool is_operator(yysymbol_kind_t k) {
  const yysymbol_kind_t list[] = {
      YYSYMBOL_T_OR, YYSYMBOL_T_AND, YYSYMBOL_T_IS, YYSYMBOL_T_AS, YYSYMBOL_T_EQ, YYSYMBOL_T_NE, YYSYMBOL_T_LE, YYSYMBOL_T_GE,
      (yysymbol_kind_t)YYTRANSLATE('<'), (yysymbol_kind_t)YYTRANSLATE('>'), (yysymbol_kind_t)YYTRANSLATE('+'), (yysymbol_kind_t)YYTRANSLATE('-'), (yysymbol_kind_t)YYTRANSLATE('*'), (yysymbol_kind_t)YYTRANSLATE('/'), (yysymbol_kind_t)YYTRANSLATE('%'),
      (yysymbol_kind_t)YYTRANSLATE('^'), (yysymbol_kind_t)YYTRANSLATE('['), (yysymbol_kind_t)YYTRANSLATE('('), YYSYMBOL_T_PATH};
  for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
    if (list[i] == k) return true;
  return false;
}

// "unexpected X; expected A or B": what was expected is listed when it is little.
static int yyreport_syntax_error(const yypcontext_t *ctx, void *scan, Parser *p) {
  (void)scan;
  enum { ALL = 100, SHOWN = 4 };
  yysymbol_kind_t want[ALL];
  int all = yypcontext_expected_tokens(ctx, want, ALL), n = 0;
  yysymbol_kind_t got = yypcontext_token(ctx);
  Buf b = {0};
  for (int i = 0; i < all; i++)
    if (!is_operator(want[i])) want[n++] = want[i];
  for (int i = 0; i < n && n <= SHOWN; i++)
    buf_printf(&b, "%s%s", i == 0 ? "; expected " : i + 1 == n ? " or " : ", ", yysymbol_name(want[i]));
  parse_unexpected(p, *yypcontext_location(ctx), got == YYSYMBOL_YYEMPTY ? "" : yysymbol_name(got), b.s ? b.s : "",
                   got == YYSYMBOL_YYEOF || got == YYSYMBOL_T_NEWLINE);
  buf_free(&b);
  return 0;
}

static void sy_yyerror(Span *at, void *scan, Parser *p, const char *msg) {
  (void)scan, (void)msg; // only "memory exhausted" comes here
  diag_error(p->diag, "E0006", *at, "this text is nested too deeply");
}
