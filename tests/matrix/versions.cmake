# Read right after the project's own project(), by -DCMAKE_PROJECT_luzia_INCLUDE: what the matrix adds to a build without a change in it.
function(luzia_matrix_versions)
    # The compiled libspdlog and libfmt of a newer suite need a newer libstdc++ than this system has. Their headers do without.
    if(spdlog_VERSION VERSION_GREATER_EQUAL 1.11)
        get_target_property(libraries luzia INTERFACE_LINK_LIBRARIES)
        list(TRANSFORM libraries REPLACE "^spdlog::spdlog$" "spdlog::spdlog_header_only")
        set_target_properties(luzia PROPERTIES INTERFACE_LINK_LIBRARIES "${libraries}")
        set_target_properties(spdlog::spdlog_header_only PROPERTIES INTERFACE_LINK_LIBRARIES "Threads::Threads;fmt::fmt-header-only")
    endif()

    # Says what the tests of this very build are compiled with.
    add_executable(matrix_versions EXCLUDE_FROM_ALL ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/versions.cpp)
    target_link_libraries(matrix_versions PRIVATE luzia::luzia ${CMAKE_DL_LIBS})
endfunction()
cmake_language(DEFER CALL luzia_matrix_versions) # when the targets are there
