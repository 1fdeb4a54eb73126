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
  target_link_libraries(${target} PRIVATE sydriver syfront syllvm sycodegen sypasses syir sybase syhost syckpt syrt sycommon m)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
endforeach()
