#!/bin/sh
# run.sh [SYC]: folders as they are published as specs: numbers of PyTorch (tests/reference/folders.py), what every command
# makes of a folder, and what is refused.
. "$(dirname "$0")/../checks.sh"
folders=$here
backend=${FOLDERS_BACKEND:-interp}

for name in vit timm clip clip_gelu open_clip open_clip_quick bert vilt beit blip siglip dinov2 roberta deit paligemma eva02; do
  run 0 "$name: the numbers of PyTorch" check "$folders/$name" --golden "$folders/$name" --backend "$backend"
  says "$name: a case was run" "^1 passed, 0 failed, 0 skipped" out
done

# what is built says so
run 0 "emit" emit "$folders/clip_gelu" --emit=c -o clip.c
says "facts of the file are in the program" 'preset=of_clip_gelu from config.json + preprocessor_config.json, .*quick=false, eps=0.001' clip.c
says "pictures as the folder has them" 'resize=shorter(32), crop=32, filter=bicubic, mean=.0.48145466' clip.c
run 0 "open_clip" emit "$folders/open_clip_quick" --emit=c -o clip.c
says "squash" 'resize=square(32), crop=32, filter=bilinear' clip.c
says "QuickGELU" 'heads=4, ffn=64, .*quick=true' clip.c
run 0 "timm" emit "$folders/timm" --emit=c -o timm.c
says "crop_pct" 'resize=shorter(35), crop=32, filter=bicubic, mean=.0.485' timm.c
run 0 "eva02" emit "$folders/eva02" --emit=c -o eva02.c
says "eva02: squashed pictures" 'resize=square(32), crop=32, filter=bicubic, mean=.0.48145466' eva02.c
says "eva02: what the architecture is" 'fused=true, sub_norm=false, inner_norm=false, pooled=true' eva02.c
run 0 "bert" emit "$folders/bert" --emit=c -o bert.c
says "capitals stay" 'lower=false' bert.c
run 0 "emit: the weights' names need no option" emit "$folders/beit" --emit=c -o beit.c
run 0 "explain" explain "$folders/vilt"
says "explain: the route of the file" "vqa" out
run 0 "dinov2" emit "$folders/dinov2" --emit=c -o dinov2.c
says "pictures smaller than those of the training: positions are resized" 'size=32, .*registers=2, swiglu=true' dinov2.c
run 0 "print-page" build "$folders/vit" --print-page -o vit.sy
says "the preset" "^preset of_vit = vit(size = 32, .*eps = 0.001) under huggingface" vit.sy
run 0 "the page is canonical" fmt --check vit.sy
run 0 "the page compiles" weights pack vit.sy:of_vit --routes classify -w "$folders/vit/model.safetensors" -o page.syw
run 0 "pack" weights pack "$folders/vit" -o folder.syw
cmp -s page.syw folder.syw && ok "the same bytes" || bad "the page is another model" page.syw
run 0 "inspect" weights inspect "$folders/bert" "$folders/bert/model.safetensors.index.json"
run 0 "ir" emit "$folders/open_clip" --emit=ir -o clip.ir
run 2 "print-page of a page" build vit:tiny --print-page
says "it says why" "takes a published folder"
run 2 "no presets" emit "$folders/vit:base"
if have gcc; then
  run 0 "build" build "$folders/clip" -o clip -MD
  says "MD has the configuration" "/clip/config.json .*/clip/preprocessor_config.json" clip.d
  says "MD has the weights" "/clip/pytorch_model.bin" clip.d
  ./clip --describe > out 2> err
  says "describe" "built with preset=of_clip from config.json + preprocessor_config.json" out
  run 0 "build of shards" build "$folders/bert" -o bert -MD
  says "MD has the shards" "model-00001-of-00002.safetensors .*model-00002-of-00002.safetensors" bert.d
fi
if have gcc; then
  cp -r "$folders/bert" sentences && chmod -R u+w sentences
  { printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n' && seq 60; } > sentences/vocab.txt
  run 0 "run: the folder's vocabulary" run ./sentences -- --text "3 4" --text "5"
  says "run: hidden states" "hidden" out
  run 3 "run: another one by hand" run ./sentences -- --text "3 4" --vocab none.txt
  rm -rf sentences
fi

# change FILE NAME SED...: a copy of a folder with another file
change() {
  rm -rf "$dir/copy" && cp -r "$folders/$1" "$dir/copy" && chmod -R u+w "$dir/copy"
  file=$2
  shift 2
  for edit in "$@"; do sed -i "$edit" "$dir/copy/$file"; done
}
# refused NAME PATTERN: the copy is refused, with a field's path
refused() {
  run 1 "$1" emit ./copy --emit=c -o x.c
  says "$1: says why" "$2"
  [ -e x.c ] && bad "$1: something is written" || ok "$1: nothing is written"
}
change vit config.json 's/"gelu"/"gelu_new"/'
refused "an activation" 'config.json: hidden_act = "gelu_new": the page computes with gelu'
change vit config.json 's/"qkv_bias": true/"qkv_bias": false/'
refused "no bias" 'config.json: qkv_bias = false: the page computes with true'
change vit config.json 's/"patch_size": 8/"patch_size": 8, "swin_window": 7/'
refused "an unknown field" 'config.json: swin_window = 7: this field is not known here'
run 0 "it may be ignored" emit ./copy --emit=c -o x.c --ignore-field 'swin_*'
says "with a note" "left out: swin_window"
rm -f x.c
change vit config.json 's/"patch_size": 8/"patch_size": 8, "swin_window": null/'
run 0 "a field that says nothing" emit ./copy --emit=c -o x.c
says "is named" "left out: swin_window"
rm -f x.c
change vit config.json 's/"patch_size": 8/"patch_size": "8"/'
refused "a word for a number" 'config.json: patch_size = "8": a number is expected'
change vit config.json 's/"hidden_size": 32/"hidden_size": 32.5/'
refused "half a channel" 'config.json: hidden_size = 32.5: a whole number'
change vit config.json 's/"hidden_size": 32/"hidden_size": -32/'
refused "less than nothing" 'config.json: hidden_size = -32: a whole number'
change vit config.json 's/"hidden_size": 32/"hidden_size": 32, "hidden_size": 64/'
refused "a field twice" 'config.json: hidden_size = 64: the field stands here twice'
change vit config.json 's/"layer_norm_eps": 0.001/"layer_norm_eps": 1e999/'
run 0 "the page's default, of a folder without the field" emit "$folders/vit" --emit=c -o x.c
rm -f x.c
refused "an infinite epsilon" 'config.json: layer_norm_eps'
change vit config.json 's/"model_type": "vit"/"model_type": "swin"/'
refused "another model" 'model_type "swin": no page here is that model (known: .*vit'
change vit config.json '/"model_type"/d'
refused "no model" 'it has no model_type'
change vit config.json 's/ViTForImageClassification/ViTForFun/'
refused "another head" 'architectures = ViTForFun: .*ViTForImageClassification'
run 0 "routes by hand" emit ./copy --routes features --emit=c -o x.c
rm -f x.c
change vit preprocessor_config.json 's/"height": 32/"height": 64/'
refused "sides of two lengths" 'preprocessor_config.json: size = .*one height and width'
change vit preprocessor_config.json 's/"height": 32/"height": 64/' 's/"width": 32/"width": 64/'
refused "another size" 'preprocessor_config.json: size = .*64 pixels wide'
change vit preprocessor_config.json 's/"resample": 2/"resample": 4/'
refused "a box filter" 'preprocessor_config.json: resample = 4: only nearest'
change vit preprocessor_config.json 's/"resample": 2/"resample": 2, "do_flip": true/'
refused "an unknown step" 'preprocessor_config.json: do_flip = true'
change vit preprocessor_config.json 's/ViTImageProcessor/SwinImageProcessor/'
refused "an unknown class" 'image_processor_type = "SwinImageProcessor"'
change clip config.json 's/"num_attention_heads": 3/"num_attention_heads": 3, "hidden_act": "gelu"/'
refused "two activations" 'config.json: vision_config.hidden_act: the page has one quick for this field and for text_config.hidden_act'
change clip config.json 's/"text_config_dict": null/"text_config_dict": {"hidden_size": 48}/'
refused "a section and its copy differ" 'text_config_dict.hidden_size = 48: text_config.hidden_size is 24'
change clip config.json 's/"text_config_dict": null/"text_config_dict": {"hidden_size": 24}/'
refused "a copy that lacks fields" 'text_config.num_hidden_layers = 2: .*lacks it, which means 12'
change clip config.json 's/"eos_token_id": 2/"eos_token_id": 7/'
refused "another end" 'text_config.eos_token_id = 7: the page computes with 2, vocab - 1'
change open_clip open_clip_config.json 's/"layers": 2,/"layers": [3, 4, 6, 3],/'
refused "a ResNet" 'model_cfg.vision_cfg.layers = .3,4,6,3.: a number is expected'
change open_clip open_clip_config.json 's/"mlp_ratio": 2.0/"mlp_ratio": 2.0, "no_ln_pre": true/'
refused "open_clip: a norm less" 'model_cfg.vision_cfg.no_ln_pre = true: the page computes with false'
change timm config.json 's/deit_tiny_patch16_224/vit_base_patch16_clip_224/'
refused "another architecture" 'architecture "vit_base_patch16_clip_224": no page here'
change timm config.json 's/"global_pool": "token"/"global_pool": "map"/'
refused "another pooling" 'config.json: global_pool = "map"'
change beit config.json 's/"use_shared_relative_position_bias": false/"use_shared_relative_position_bias": true/'
refused "shared positions" 'use_shared_relative_position_bias = true'
change bert tokenizer_config.json 's/"BertTokenizer"/"GPT2Tokenizer"/'
refused "another tokenizer" 'tokenizer_config.json: tokenizer_class'

# no JSON, no model, several weights
change vit config.json 's/"patch_size": 8,/"patch_size": 8;/'
run 3 "no JSON" emit ./copy
says "the line" 'copy/config.json:[0-9]*: this is no JSON'
echo '[1]' > copy/config.json
run 3 "no object" emit ./copy
head -c 100000 /dev/zero | tr '\0' '[' > copy/config.json
run 3 "too deep" emit ./copy
: > copy/config.json
run 3 "empty" emit ./copy
rm copy/config.json && mkdir copy/config.json
run 3 "a folder for a file" emit ./copy
rmdir copy/config.json
run 3 "no model" emit ./copy
says "no model: says why" 'without config.json or open_clip_config.json'
echo '{}' > copy/adapter_config.json
run 3 "an adapter" emit ./copy
says "an adapter: says so" 'an adapter (LoRA)'
change vit config.json
mv copy/model.safetensors copy/a.safetensors && cp copy/a.safetensors copy/b.bin
run 1 "several weights" weights pack ./copy -o x.syw
says "several weights: both are named" 'a.safetensors, b.bin, io.safetensors'
run 0 "a chosen one" weights pack ./copy -w copy/a.safetensors -o x.syw
rm copy/*.safetensors copy/*.bin
run 1 "no weights" weights pack ./copy -o y.syw
says "no weights: says so" 'has no weights'
change clip config.json
cp "$folders/open_clip/"open_clip* copy
run 0 "files of two libraries" weights pack ./copy -o x.syw
says "two libraries: says which" 'those of transformers are taken'
cp "$folders/clip_gelu/model.safetensors" copy
run 0 "two files of one" weights pack ./copy -o x.syw
says "two files: says which" 'model.safetensors is taken; it also has pytorch_model.bin'

finish folders
