# SPDX-License-Identifier: Apache-2.0
# Reads the versions from their one place, the headers. Sets BP_VERSION, BP_ABI_MAJOR, BP_ABI_MINOR.
function(bp_read_numbers header prefix)
  set(path ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../api/include/backplane/${header})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  file(STRINGS ${path} lines REGEX "^#define ${prefix}_")
  foreach(part ${ARGN})
    if(NOT lines MATCHES "#define ${prefix}_${part} +([0-9]+)")
      message(FATAL_ERROR "${path} does not define ${prefix}_${part} as a number")
    endif()
    set(${prefix}_${part} ${CMAKE_MATCH_1} PARENT_SCOPE)
  endforeach()
endfunction()

bp_read_numbers(version.h BP_VERSION MAJOR MINOR PATCH)
bp_read_numbers(base.h BP_ABI MAJOR MINOR)
set(BP_VERSION ${BP_VERSION_MAJOR}.${BP_VERSION_MINOR}.${BP_VERSION_PATCH})
