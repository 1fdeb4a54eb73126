# Tests, by label:
#   unit, diff   tests/unit/*.c, tests/diff/*.c: a file with Criterion tests or a main is one executable; the others of the
#                folder are linked to all of them
#   err, ...     tests/NAME/run.sh SYC
#   golden       tests/golden/run.sh WAY, once for every way of executing a model, so that a missing one shows up as skipped
# Scripts find SYC, SOURCE_DIR and BUILD_DIR in the environment; exit status 77 = skipped, with the reason printed.
pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)

set(sy_test_libraries syengine sylayout sydata syfront syonnx syllvm sycodegen sypasses syir sybase syhost syckpt syrt sycommon)

# One test executable LABEL-NAME. Criterion's runner has options of its own, a plain main has not.
function(sy_c_test label source helpers)
  get_filename_component(stem ${source} NAME_WE)
  file(STRINGS ${source} own_main REGEX "^int main\\(")
  set(target ${label}-${stem})
  add_executable(${target} ${source} ${helpers})
  sy_target(${target})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_definitions(${target} PRIVATE SY_SOURCE_DIR="${PROJECT_SOURCE_DIR}" SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE ${sy_test_libraries} ${CMAKE_DL_LIBS} m)
  if(own_main)
    add_test(NAME ${label}/${stem} COMMAND ${target} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  else()
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/criterion.c)
    target_link_libraries(${target} PRIVATE PkgConfig::CRITERION)
    add_test(NAME ${label}/${stem} COMMAND ${target} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  endif()
  set_tests_properties(${label}/${stem} PROPERTIES LABELS ${label} TIMEOUT 3000 SKIP_RETURN_CODE 77
                                                   FAIL_REGULAR_EXPRESSION "detected memory leaks")
endfunction()

foreach(label unit diff)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${label}/*.c)
  set(tests)
  set(helpers)
  foreach(source IN LISTS sources)
    file(STRINGS ${source} entry REGEX "^(int main|Test|ParameterizedTest|Theory)\\(")
    if(entry)
      list(APPEND tests ${source})
    else()
      list(APPEND helpers ${source})
    endif()
  endforeach()
  if(helpers)
    add_library(${label}_helpers OBJECT ${helpers})
    sy_target(${label}_helpers)
    set(helpers $<TARGET_OBJECTS:${label}_helpers>)
  endif()
  foreach(source IN LISTS tests)
    sy_c_test(${label} ${source} "${helpers}")
  endforeach()
endforeach()

function(sy_shell_test name label)
  add_test(NAME ${name} COMMAND bash ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(
    ${name} PROPERTIES LABELS ${label} TIMEOUT 3000 SKIP_RETURN_CODE 77 ENVIRONMENT
                       "SYC=${CMAKE_BINARY_DIR}/bin/syc;SOURCE_DIR=${PROJECT_SOURCE_DIR};BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*/run.sh)
list(FILTER scripts EXCLUDE REGEX "/nightly/") # by scripts/test.sh --nightly alone
file(STRINGS ${PROJECT_SOURCE_DIR}/runtime/cpu.def isas REGEX "^INSTRUCTION_SET\\(")
list(TRANSFORM isas REPLACE "^INSTRUCTION_SET\\(([^,]*),.*" "\\1")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/runtime/cpu.def)
if(TARGET syc)
  foreach(script IN LISTS scripts)
    get_filename_component(folder ${script} DIRECTORY)
    get_filename_component(label ${folder} NAME)
    if(label STREQUAL "golden")
      foreach(way interp ${isas} threads llvm jit wasm riscv narrow train)
        sy_shell_test(golden/${way} golden ${script} ${way})
      endforeach()
      # The longest first; and what compiles the same C not at the same time, so that it is compiled once.
      set_tests_properties(golden/llvm PROPERTIES COST 1000)
      foreach(isa IN LISTS isas)
        set_tests_properties(golden/${isa} PROPERTIES COST 900)
      endforeach()
      set_tests_properties(golden/narrow diff/kernels unit/program_llvm PROPERTIES COST 800)
      list(TRANSFORM isas PREPEND golden/ OUTPUT_VARIABLE before)
      set_tests_properties(golden/threads PROPERTIES DEPENDS "${before}")
    else()
      sy_shell_test(${label} ${label} ${script} ${CMAKE_BINARY_DIR}/bin/syc)
    endif()
  endforeach()
endif()
