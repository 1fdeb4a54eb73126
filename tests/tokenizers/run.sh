#!/bin/sh
# run.sh SYC: tokenizer.json as --vocab of compiled programs and syc: the same results as with the vocab.txt that it says
# again, and what is refused.
. "$(dirname "$0")/../checks.sh"
hf=$source/tests/golden/tokenizers/hf

# use CODE NAME PROGRAM ARGUMENTS...
use() {
  want=$1 name=$2
  shift 2
  "./$@" > out 2> err < /dev/null
  got=$?
  if [ $got -eq "$want" ]; then ok "$name"; else bad "$name: exit status $got, not $want" err; fi
}
head -n 66 "$source/tests/golden/tokenizers/bert/vocab_small.txt" > vocab.txt # as many as the tiny BLIP has

# The tokenizer.json that BertTokenizerFast makes of vocab.txt: json FILE LOWER
json() {
  awk -v lower="$2" -v q='"' '
    function str(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return q s q }
    { token[NR - 1] = $0; id[$0] = NR - 1 }
    END {
      print "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
      n = split("[PAD] [UNK] [CLS] [SEP] [MASK]", special, " ")
      for (i = 1; i <= n; i++) if (special[i] in id)
        printf "%s{\"id\":%d,\"content\":%s,\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}\n", sep, id[special[i]], str(special[i]), sep = ","
      print "],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":" lower "},"
      print "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
      printf "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",%d],\"cls\":[\"[CLS]\",%d]},\n", id["[SEP]"], id["[CLS]"]
      print "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{"
      for (i = 0; i < NR; i++) printf "%s%s:%d\n", (i ? "," : ""), str(token[i]), i
      print "}}}"
    }' vocab.txt > "$1"
}
json lower.json true
json cased.json false

### a compiled program
run 0 "weights" weights init bert:tiny -o bert.st
run 0 "executable" build bert:tiny -w bert.st -o bert
for text in "the cat sat" "The CAT, sat!" "" "unknownword the" "[MASK] the cat" "the caf\303\251 \344\275\240 cat"; do
  text=$(printf "$text")
  use 0 "by vocab.txt: '$text'" bert --route text --text "$text" --vocab vocab.txt --out a
  use 0 "by tokenizer.json" bert --route text --text "$text" --vocab lower.json --out b
  check "... the same" cmp a-hidden.npy b-hidden.npy
done
use 0 "--describe" bert --describe --vocab lower.json
says "... names the kind and the size" 'vocabulary of text: lower.json, tokenizer.json, 66 tokens' out
use 0 "another case than the page's" bert --route text --text "The" --vocab cased.json --out c
says "... is noted" 'note: sentences keep their capitals, as cased.json says; the page says lower = true'
use 2 "--cased" bert --route text --text a --vocab lower.json --cased
says "... goes with vocab.txt" 'lower.json says itself what becomes of capitals'
use 3 "a tokenizer.json of another size" bert --route text --text a --vocab "$hf/bert.json"
says "... both sizes are named" 'has 425 tokens, the model 72: it is not the vocabulary of this model'
sed 's/"BertPreTokenizer"/"FixedLength"/' lower.json > fixed.json
use 3 "a component that is not supported" bert --route text --text a --vocab fixed.json
says "... is named with its place" 'fixed.json: pre_tokenizer.type: FixedLength is not supported'
head -c 900 lower.json > cut.json
use 3 "a file that is cut" bert --route text --text a --vocab cut.json
says "... is said to be" 'cut.json: JSON, byte 901'
sed 's/^"post_processor":.*/"post_processor":null,/' lower.json > bare.json
use 3 "no ends" bert --route text --text a --vocab bare.json
says "... is said" 'bare.json puts nothing at the start of a sentence'
sed 's/"padding":null/"padding":{"strategy":"BatchLongest","direction":"Left","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"}/' lower.json > left.json
use 3 "padding in front" bert --route text --text a --vocab left.json
says "... is said" 'padding.direction: Left'

### syc
run 0 "syc run" run bert:tiny -w bert.st -- --route text --text "the cat sat" --vocab "$dir/lower.json" --out "$dir/d"
"./bert" --route text --text "the cat sat" --vocab vocab.txt --out a > out 2> err
check "... the same" cmp a-hidden.npy d-hidden.npy

### captions are spelled
run 0 "weights of a caption" weights init blip:caption_tiny --routes caption -o blip.st
run 0 "its executable" build blip:caption_tiny --routes caption -w blip.st -o blip
printf 'P6\n32 32\n255\n' > p.ppm && head -c 3072 /dev/zero | tr '\0' 'x' >> p.ppm
use 0 "a caption by vocab.txt" blip p.ppm --vocab vocab.txt
cp out want
use 0 "a caption by tokenizer.json" blip p.ppm --vocab lower.json
check "... the same words" cmp want out

finish tokenizers
