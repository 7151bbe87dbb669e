# SPDX-License-Identifier: Apache-2.0
# backplane_add_test(): one file, one executable; in ctest each of its cases is one entry.
#
#   backplane_add_test(<folder/subject_test.cpp>
#     [SOURCES <file>...]      more sources
#     [LIBRARIES <target>...]  besides GoogleTest and, where it exists, bp_test_support
#     [DEPENDS <target>...]    what must be built because the test loads or runs it
#     [LABELS <label>...]      besides the first folder (unit, integration, ...); `long` = only with
#                              ./dev test --long
#     [TIMEOUT <seconds>]      per case, 30 unless said
#     [TSAN])                  also runs under ThreadSanitizer
#
# The file may be named from tests/ or from the folder of the calling CMakeLists.txt.
# The case Suite.Case of integration/cli_test.cpp is bp.integration.cli.Suite.Case.
include_guard(GLOBAL)

function(backplane_add_test file)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TSAN" "TIMEOUT" "SOURCES;LIBRARIES;DEPENDS;LABELS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "backplane_add_test(${file}): '${arg_UNPARSED_ARGUMENTS}' is not known")
  endif()
  if(NOT BP_BUILD_TESTS OR (BP_SANITIZE MATCHES "thread" AND NOT arg_TSAN))
    return()
  endif()

  get_filename_component(path ${file} ABSOLUTE)
  file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/tests ${path})
  string(REGEX REPLACE "_test\\.(c|cpp)$" "" name ${name})
  string(REGEX REPLACE "/.*" "" layer ${name})
  string(REPLACE "/" "." name bp.${name})
  string(REPLACE "." "_" target ${name}_test)

  add_executable(${target} ${file} ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  # Where a test finds the tree it tests: BP_TEST_BUILD_DIR/{bin,lib,plugins,plugin_manifests}.
  target_compile_definitions(${target} PRIVATE BP_TEST_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               BP_TEST_BUILD_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES} GTest::gmock_main bp_warnings)
  # For the test itself ASan says these, too; they are a quarter of the time it takes to compile.
  if(BP_SANITIZE MATCHES "undefined")
    target_compile_options(${target} PRIVATE -fno-sanitize=null,alignment,object-size)
  endif()
  if(TARGET bp_test_support)
    target_link_libraries(${target} PRIVATE bp_test_support)
  endif()
  if(arg_DEPENDS)
    add_dependencies(${target} ${arg_DEPENDS})
  endif()
  add_dependencies(bp_tests ${target})

  set(labels ${layer} ${arg_LABELS})
  if(arg_TSAN)
    list(APPEND labels tsan)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 30)
  endif()
  # PRE_TEST: cases are listed when ctest runs, not while the build holds both cores, and a
  # sanitizer's report on start-up fails the tests, not the build.
  gtest_discover_tests(
    ${target}
    TEST_PREFIX ${name}.
    WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT ${arg_TIMEOUT})
  # Labels by a script of their own: a list does not survive gtest_discover_tests.
  set(labels_file ${CMAKE_CURRENT_BINARY_DIR}/${target}_labels.cmake)
  file(WRITE ${labels_file} "if(${target}_TESTS)
  set_tests_properties(\${${target}_TESTS} PROPERTIES LABELS \"${labels}\")
endif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${labels_file})
endfunction()

# backplane_add_fuzzer(<fuzz/subject_fuzz.cpp> [LIBRARIES <target>...]) makes build/fuzz/fuzz/subject
# with libFuzzer, and in every other preset a test that runs it over tests/fuzz/corpus/subject.
function(backplane_add_fuzzer file)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBRARIES")
  if(NOT BP_BUILD_TESTS OR BP_SANITIZE MATCHES "thread")
    return()
  endif()
  get_filename_component(name ${file} NAME_WE)
  string(REGEX REPLACE "_fuzz$" "" name ${name})
  set(target bp_fuzz_${name})
  add_executable(${target} ${file})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz
                                             OUTPUT_NAME ${name})
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES} bp_warnings)
  add_dependencies(bp_fuzzers ${target})
  if(BP_BUILD_FUZZERS)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/run_corpus.cpp)
    add_test(NAME bp.fuzz.${name}.Corpus COMMAND ${target}
                                                 ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(bp.fuzz.${name}.Corpus PROPERTIES TIMEOUT 30 LABELS fuzz)
  endif()
endfunction()
