# SPDX-License-Identifier: Apache-2.0
# open62541::open62541, as the system has it or as cmake/open62541.sh built it. Without it the build
# goes on, and everything that needs it is left out.
execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/open62541.sh --prefix OUTPUT_VARIABLE prefix
                OUTPUT_STRIP_TRAILING_WHITESPACE)
if(open62541_DIR MATCHES "/backplane/open62541-") # perhaps one with other options
  unset(open62541_DIR CACHE)
endif()
# The library's own file says CMake 2.8, which newer ones warn of.
set(CMAKE_WARN_DEPRECATED OFF)
find_package(open62541 1.4...<1.5 CONFIG QUIET HINTS ${prefix})
unset(CMAKE_WARN_DEPRECATED)
if(NOT open62541_FOUND)
  message(STATUS "opcua is off: there is no open62541 1.4; ./dev setup builds it")
endif()
