# ONNX: the library syonnx, with libprotobuf-c (Debian: libprotobuf-c-dev, protobuf-c-compiler) or without it, where all but
# ONNX works. -DENABLE_ONNX=OFF leaves it out.
option(ENABLE_ONNX "Read and write ONNX files where libprotobuf-c is found" ON)
set(sy_onnx_found OFF)
if(ENABLE_ONNX)
  pkg_check_modules(PROTOBUF_C IMPORTED_TARGET libprotobuf-c)
  find_program(sy_protoc_c protoc-c)
  if(PROTOBUF_C_FOUND AND sy_protoc_c)
    set(sy_onnx_found ON)
  endif()
endif()
if(NOT sy_onnx_found)
  message(STATUS "ONNX: left out (it needs libprotobuf-c-dev and protobuf-c-compiler)")
  sy_add_library(syonnx FILES onnx/none.c LINK sycodegen)
else()
  message(STATUS "ONNX: libprotobuf-c ${PROTOBUF_C_VERSION}")
  set(gen ${CMAKE_BINARY_DIR}/gen/onnx)
  file(MAKE_DIRECTORY ${gen})
  add_custom_command(
    OUTPUT ${gen}/onnx.pb-c.c ${gen}/onnx.pb-c.h
    COMMAND ${sy_protoc_c} --proto_path=${PROJECT_SOURCE_DIR}/onnx --c_out=${gen} onnx.proto
    DEPENDS ${PROJECT_SOURCE_DIR}/onnx/onnx.proto
    VERBATIM)
  set_source_files_properties(${gen}/onnx.pb-c.c PROPERTIES COMPILE_OPTIONS "-w") # not held to our warnings
  file(GLOB onnx_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/onnx/*.c)
  list(REMOVE_ITEM onnx_sources ${PROJECT_SOURCE_DIR}/onnx/none.c)
  sy_add_library(syonnx FILES ${onnx_sources} ${gen}/onnx.pb-c.c ${gen}/onnx.pb-c.h LINK sycodegen PkgConfig::PROTOBUF_C)
  target_include_directories(syonnx SYSTEM PRIVATE ${gen})
  target_include_directories(syonnx PRIVATE onnx)
endif()
