# switchyard_add_model(TARGET SPEC FILE[:PRESET] [PREFIX p] [ROUTES r...] [ISA i...] [DEFINES NAME=VALUE...]
#                      [DIMS NAME=N...] [WEIGHTS FILE.safetensors...])
#
# A static library TARGET made of a model: syc writes PREFIX.c and PREFIX.h, which your compiler compiles; users of TARGET
# find PREFIX.h. With WEIGHTS a checkpoint is packed for the model as well; the file's path is the target's property
# SWITCHYARD_WEIGHTS. SPEC is a path from the current source folder or the name of a model that comes with syc ("vit:base").
# Everything is made again when a file it was made of changes, `use`d files included.
#
#   find_package(Switchyard REQUIRED)
#   switchyard_add_model(classifier SPEC vit:base ROUTES classify WEIGHTS vit_b_16.safetensors)
#   target_link_libraries(app PRIVATE classifier Switchyard::runtime)
function(switchyard_add_model target)
  cmake_parse_arguments(arg "" "SPEC;PREFIX" "ROUTES;ISA;DEFINES;DIMS;WEIGHTS" ${ARGN})
  if(NOT arg_SPEC)
    message(FATAL_ERROR "switchyard_add_model(${target}): SPEC FILE[:PRESET] is missing")
  endif()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "switchyard_add_model(${target}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_PREFIX)
    string(MAKE_C_IDENTIFIER ${target} arg_PREFIX)
  endif()

  set(dir ${CMAKE_CURRENT_BINARY_DIR}/switchyard/${target})
  set(source ${dir}/${arg_PREFIX}.c)
  set(header ${dir}/${arg_PREFIX}.h)
  file(MAKE_DIRECTORY ${dir})

  # A file of ours by its full path, so that dependency files name it; anything else is a model inside syc.
  string(REGEX MATCH ":[^:/]*$" preset "${arg_SPEC}")
  string(REGEX REPLACE ":[^:/]*$" "" file "${arg_SPEC}")
  get_filename_component(full "${file}" ABSOLUTE)
  if(EXISTS "${full}")
    set(spec "${full}${preset}")
    set(depends DEPFILE ${dir}/${arg_PREFIX}.c.d)
  else()
    set(spec "${arg_SPEC}")
    set(depends) # nothing but syc: an empty dependency file would make it every time
  endif()

  set(options)
  foreach(name ROUTES ISA)
    if(arg_${name})
      string(TOLOWER --${name} option)
      string(REPLACE ";" "," list "${arg_${name}}")
      list(APPEND options ${option} ${list})
    endif()
  endforeach()
  foreach(define IN LISTS arg_DEFINES)
    list(APPEND options -D ${define})
  endforeach()
  foreach(dim IN LISTS arg_DIMS)
    list(APPEND options --dim ${dim})
  endforeach()

  add_custom_command(
    OUTPUT ${source} ${header}
    COMMAND Switchyard::syc emit ${spec} ${options} --prefix ${arg_PREFIX} --emit=c -MD -o ${source}
    DEPENDS Switchyard::syc
    ${depends}
    COMMENT "Compiling ${arg_SPEC} to ${arg_PREFIX}.c"
    VERBATIM)

  add_library(${target} STATIC ${source} ${header})
  target_include_directories(${target} PUBLIC ${dir})
  set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  # No contraction: results are the same bits everywhere. -O2 in Debug builds too: kernels without it are of no use.
  target_compile_options(${target} PRIVATE -O2 -ffp-contract=off)
  if(UNIX)
    target_link_libraries(${target} PUBLIC m)
  endif()

  if(arg_WEIGHTS)
    set(weights)
    set(files)
    foreach(one IN LISTS arg_WEIGHTS)
      get_filename_component(one "${one}" ABSOLUTE)
      list(APPEND files "${one}")
      list(APPEND weights --weights "${one}")
    endforeach()
    set(packed ${dir}/${arg_PREFIX}.syw)
    add_custom_command(
      OUTPUT ${packed}
      COMMAND Switchyard::syc weights pack ${spec} ${options} ${weights} --quiet -o ${packed}
      DEPENDS Switchyard::syc ${files} ${source}
      COMMENT "Packing the weights of ${target}"
      VERBATIM)
    add_custom_target(${target}_weights ALL DEPENDS ${packed})
    add_dependencies(${target} ${target}_weights)
    set_target_properties(${target} PROPERTIES SWITCHYARD_WEIGHTS ${packed})
  endif()
endfunction()
