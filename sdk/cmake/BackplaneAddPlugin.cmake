# SPDX-License-Identifier: Apache-2.0
# backplane_add_plugin(): a plugin that loads into libbackplane. Installed for authors elsewhere:
#
#   find_package(backplane REQUIRED)
#   backplane_add_plugin(modbus SOURCES plugin.cpp LIBRARIES PkgConfig::modbus)
#
#   backplane_add_plugin(<name>
#     SOURCES <file>...             C or C++
#     [LIBRARIES <target>...]       what it needs besides backplane::sdk
#     [MANIFEST <file>]             default: plugin_manifests/<name>.toml of the project
#     [OUTPUT_DIRECTORY <folder>]   default: plugins/ and plugin_manifests/ of the build tree; with
#                                   it, both files land in <folder>
#     [NO_INSTALL])
#
# makes the module backplane_plugin_<name> in libbackplane_<name>.so. It exports bp_plugin_entry_1
# alone, so that the libraries of two plugins never meet, and every symbol it needs is there at load
# time or it does not load.
include_guard(GLOBAL)
include(GNUInstallDirs)

set(BACKPLANE_PLUGIN_EXPORTS ${CMAKE_CURRENT_LIST_DIR}/plugin_exports.map)

function(backplane_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "NO_INSTALL" "MANIFEST;OUTPUT_DIRECTORY" "SOURCES;LIBRARIES")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
    message(FATAL_ERROR "backplane_add_plugin(${name}): expected SOURCES <file>... and no "
                        "'${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT arg_MANIFEST)
    set(arg_MANIFEST ${PROJECT_SOURCE_DIR}/plugin_manifests/${name}.toml)
  endif()
  get_filename_component(manifest ${arg_MANIFEST} ABSOLUTE)
  get_filename_component(manifest_name ${manifest} NAME)

  set(plugin_dir ${PROJECT_BINARY_DIR}/plugins)
  set(manifest_dir ${PROJECT_BINARY_DIR}/plugin_manifests)
  if(arg_OUTPUT_DIRECTORY)
    get_filename_component(plugin_dir ${arg_OUTPUT_DIRECTORY} ABSOLUTE BASE_DIR
                           ${CMAKE_CURRENT_BINARY_DIR})
    set(manifest_dir ${plugin_dir})
  endif()
  set(manifest_copy ${manifest_dir}/${manifest_name})
  add_custom_command(
    OUTPUT ${manifest_copy}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${manifest_dir}
    COMMAND ${CMAKE_COMMAND} -E copy ${manifest} ${manifest_copy}
    DEPENDS ${manifest}
    VERBATIM)

  set(target backplane_plugin_${name})
  add_library(${target} MODULE ${arg_SOURCES} ${manifest_copy})
  set_target_properties(
    ${target}
    PROPERTIES OUTPUT_NAME backplane_${name}
               PREFIX lib
               LIBRARY_OUTPUT_DIRECTORY ${plugin_dir}
               C_VISIBILITY_PRESET hidden
               CXX_VISIBILITY_PRESET hidden
               VISIBILITY_INLINES_HIDDEN ON
               LINK_DEPENDS ${BACKPLANE_PLUGIN_EXPORTS})
  target_link_options(${target} PRIVATE -Wl,--version-script=${BACKPLANE_PLUGIN_EXPORTS} -Wl,-z,now)
  # Clang leaves the sanitizer's run time to the program; with it, undefined symbols are normal.
  if(NOT (CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND BP_SANITIZE))
    target_link_options(${target} PRIVATE -Wl,--no-undefined)
  endif()

  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if(CXX IN_LIST languages)
    target_link_libraries(${target} PRIVATE backplane::sdk)
  else()
    target_link_libraries(${target} PRIVATE backplane::api)
  endif()
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES})
  if(TARGET bp_warnings)
    target_link_libraries(${target} PRIVATE bp_warnings)
  endif()

  if(NOT arg_NO_INSTALL)
    install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/backplane/plugins
            COMPONENT backplane-plugin-${name})
    install(FILES ${manifest} DESTINATION ${CMAKE_INSTALL_DATADIR}/backplane/plugin_manifests
            COMPONENT backplane-plugin-${name})
    set_property(GLOBAL APPEND PROPERTY BACKPLANE_INSTALLED_PLUGINS ${name}@${manifest})
  endif()
endfunction()
