# Fuzz targets: every tests/fuzz/*.c is one libFuzzer program in build-fuzz/fuzz. Seeds lie in tests/fuzz/corpus/NAME, where
# NAME is the file's name with or without the leading "fuzz_".
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*.c)
foreach(source IN LISTS sources)
  get_filename_component(target ${source} NAME_WE)
  add_executable(${target} ${source})
  sy_target(${target})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  target_link_libraries(${target} PRIVATE syfront sycodegen sypasses syir sybase syhost syckpt syrt m)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
endforeach()
