# Targets: reloader::reloader (shared) and reloader::static.
get_filename_component(_reloader_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET reloader::reloader)
  add_library(reloader::reloader SHARED IMPORTED)
  set_target_properties(reloader::reloader PROPERTIES
    IMPORTED_LOCATION "${_reloader_prefix}/lib/libreloader.so"
    IMPORTED_SONAME "libreloader.so.0"
    INTERFACE_INCLUDE_DIRECTORIES "${_reloader_prefix}/include")

  add_library(reloader::static STATIC IMPORTED)
  set_target_properties(reloader::static PROPERTIES
    IMPORTED_LOCATION "${_reloader_prefix}/lib/libreloader.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_reloader_prefix}/include"
    INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl;c")
endif()

unset(_reloader_prefix)
