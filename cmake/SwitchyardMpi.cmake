# The library libsympi.so, by which the processes of `mpirun -n N syc train` reach each other: syc loads it when it was
# started so, and links no MPI itself. Open MPI (libopenmpi-dev) or MPICH (libmpich-dev), whose mpirun then starts syc;
# MPI_C_COMPILER=mpicc.mpich says which where there are both. -DENABLE_MPI=OFF leaves it out.
option(ENABLE_MPI "Build training in several processes where MPI is found" ON)
set(sy_mpi_found OFF)
if(ENABLE_MPI AND NOT ENABLE_FUZZ)
  find_package(MPI QUIET COMPONENTS C)
  set(sy_mpi_found ${MPI_C_FOUND})
endif()
if(sy_mpi_found)
  list(GET MPI_C_INCLUDE_DIRS 0 sy_mpi_dir)
  message(STATUS "Training in several processes: MPI of ${sy_mpi_dir}")
  add_library(sympi SHARED mpi/sympi.c)
  sy_target(sympi)
  set_target_properties(sympi PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY} C_VISIBILITY_PRESET default)
  target_include_directories(sympi SYSTEM PRIVATE ${MPI_C_INCLUDE_DIRS}) # its headers are not held to our warnings
  target_link_libraries(sympi PRIVATE ${MPI_C_LIBRARIES})
  install(TARGETS sympi LIBRARY DESTINATION lib)
else()
  message(STATUS "Training in several processes: left out (it needs libopenmpi-dev or libmpich-dev)")
endif()
