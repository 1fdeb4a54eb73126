# What `cmake --install` puts where, below the prefix:
#
#   bin/syc                            lib/libsy{rt,host,main,base,common}.a, which `syc build` links executables with
#   include/switchyard/*.h             share/switchyard/models/*.sy
#   lib/cmake/Switchyard/              find_package(Switchyard), switchyard_add_model()
#   lib/pkgconfig/switchyard.pc        the runtime
#   share/man/man1/syc.1, completions for bash, zsh and fish: printed by syc itself
#
# Libraries go to lib, not to a folder with the machine's name, because syc looks for them at ../lib from its own place.
set(sy_share ${CMAKE_BINARY_DIR}/share)
file(MAKE_DIRECTORY ${sy_share})

# What syc prints with the options given, as a file in the build tree.
set(sy_printed)
function(sy_print_file file)
  add_custom_command(
    OUTPUT ${sy_share}/${file}
    COMMAND syc help ${ARGN} > ${sy_share}/${file}
    DEPENDS syc
    COMMENT "Writing ${file}"
    VERBATIM)
  set(sy_printed ${sy_printed} ${sy_share}/${file} PARENT_SCOPE)
endfunction()
sy_print_file(syc.1 --man)
sy_print_file(syc.bash --completions=bash)
sy_print_file(_syc --completions=zsh)
sy_print_file(syc.fish --completions=fish)
add_custom_target(manual ALL DEPENDS ${sy_printed})
# OPTIONAL: a build of the target syc alone has none of them.
install(FILES ${sy_share}/syc.1 DESTINATION share/man/man1 OPTIONAL)
install(FILES ${sy_share}/syc.bash DESTINATION share/bash-completion/completions RENAME syc OPTIONAL)
install(FILES ${sy_share}/_syc DESTINATION share/zsh/site-functions OPTIONAL)
install(FILES ${sy_share}/syc.fish DESTINATION share/fish/vendor_completions.d OPTIONAL)

install(TARGETS syc RUNTIME DESTINATION bin)
install(TARGETS syrt syhost symain sybase sycommon ARCHIVE DESTINATION lib)
file(GLOB sy_models CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/models/*.sy)
install(FILES ${sy_models} DESTINATION share/switchyard/models)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION share/doc/switchyard)

# Headers lie in one folder when installed, so they name each other without the source tree's folders.
file(GLOB sy_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/runtime/*.h ${PROJECT_SOURCE_DIR}/host/face.h)
foreach(header IN LISTS sy_headers)
  get_filename_component(name ${header} NAME)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(READ ${header} text)
  string(REPLACE "#include \"runtime/" "#include \"" text "${text}")
  file(GENERATE OUTPUT ${sy_share}/include/${name} CONTENT "${text}")
  install(FILES ${sy_share}/include/${name} DESTINATION include/switchyard)
endforeach()

include(CMakePackageConfigHelpers)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/SwitchyardConfig.cmake.in ${sy_share}/SwitchyardConfig.cmake
                              INSTALL_DESTINATION lib/cmake/Switchyard NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${sy_share}/SwitchyardConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${sy_share}/SwitchyardConfig.cmake ${sy_share}/SwitchyardConfigVersion.cmake
              ${CMAKE_CURRENT_LIST_DIR}/SwitchyardAddModel.cmake DESTINATION lib/cmake/Switchyard)
configure_file(${CMAKE_CURRENT_LIST_DIR}/switchyard.pc.in ${sy_share}/switchyard.pc @ONLY)
install(FILES ${sy_share}/switchyard.pc DESTINATION lib/pkgconfig)
