# SPDX-License-Identifier: Apache-2.0
# Reads the version from its one place, the header. Sets BP_VERSION and BP_VERSION_MAJOR, _MINOR, _PATCH.
set(bp_version_header ${CMAKE_CURRENT_LIST_DIR}/../api/include/backplane/version.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${bp_version_header})
file(STRINGS ${bp_version_header} bp_version_lines REGEX "^#define BP_VERSION_(MAJOR|MINOR|PATCH) ")
foreach(part MAJOR MINOR PATCH)
  if(NOT bp_version_lines MATCHES "#define BP_VERSION_${part} +([0-9]+)")
    message(FATAL_ERROR "${bp_version_header} does not define BP_VERSION_${part} as a number")
  endif()
  set(BP_VERSION_${part} ${CMAKE_MATCH_1})
endforeach()
set(BP_VERSION ${BP_VERSION_MAJOR}.${BP_VERSION_MINOR}.${BP_VERSION_PATCH})
