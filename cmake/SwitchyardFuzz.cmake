# Fuzz targets: every tests/fuzz/fuzz_*.c is one libFuzzer program in build-fuzz/fuzz. Seeds lie in
# tests/fuzz/corpus/NAME, where NAME is the file's name with or without the leading "fuzz_". scripts/test.sh --ci runs them.
#
#   cmake --preset fuzz && cmake --build build-fuzz
#   build-fuzz/fuzz/fuzz_image -max_total_time=60 /tmp/found tests/fuzz/corpus/fuzz_image
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
foreach(source IN LISTS sources)
  get_filename_component(target ${source} NAME_WE)
  add_executable(${target} ${source} ${PROJECT_SOURCE_DIR}/tests/fuzz/budget.c)
  # the entry is budget.c's, which calls the target's under this name
  set_source_files_properties(${source} PROPERTIES COMPILE_DEFINITIONS LLVMFuzzerTestOneInput=fuzz_one_input)
  sy_target(${target})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  target_link_libraries(${target} PRIVATE sydriver sydata syfront syonnx syllvm sycodegen sypasses syir sybase syhost syckpt syrt sycommon m)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
endforeach()

# A small page, compiled to C and packed weights while the targets are built, for those that run a compiled model.
set(model ${CMAKE_BINARY_DIR}/gen/model)
set(folder ${PROJECT_SOURCE_DIR}/tests/fuzz/model)
add_executable(make_model ${folder}/make_model.c)
sy_target(make_model)
target_link_libraries(make_model PRIVATE syfront sycodegen sypasses syir sybase sycommon m)
file(MAKE_DIRECTORY ${model})
add_custom_command(
  OUTPUT ${model}/small.c ${model}/small.h ${model}/small_glue.c ${model}/small.syw
  COMMAND make_model ${folder}/model.sy ${model} small
  DEPENDS make_model ${folder}/model.sy
  VERBATIM)
sy_add_library(syfuzzmodel FILES ${model}/small.c ${model}/small_glue.c LINK syrt m)
target_include_directories(syfuzzmodel PRIVATE ${PROJECT_SOURCE_DIR}/runtime)
foreach(target fuzz_face fuzz_weights)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/tests/fuzz/${target}.c PROPERTIES OBJECT_DEPENDS ${model}/small.syw)
  target_compile_definitions(${target} PRIVATE SMALL_WEIGHTS="${model}/small.syw" SY_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE syfuzzmodel)
endforeach()
