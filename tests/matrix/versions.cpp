// tests/matrix/versions.cpp: the versions that a build is compiled with, and the file that it gets hiredis from when it runs.
#include <boost/version.hpp>
#include <hiredis/hiredis.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <dlfcn.h>

#include <filesystem>
#include <iostream>

int main() {
    Dl_info hiredis{};
    ::dladdr(reinterpret_cast<void*>(&::redisReaderCreateWithFunctions), &hiredis);
    std::cout << "hiredis " << HIREDIS_MAJOR << '.' << HIREDIS_MINOR << '.' << HIREDIS_PATCH << " ("
              << std::filesystem::canonical(hiredis.dli_fname).filename().string() << "), Boost " << BOOST_VERSION / 100000 << '.'
              << BOOST_VERSION / 100 % 1000 << ", nlohmann_json " << NLOHMANN_JSON_VERSION_MAJOR << '.' << NLOHMANN_JSON_VERSION_MINOR
              << '.' << NLOHMANN_JSON_VERSION_PATCH << ", spdlog " << SPDLOG_VER_MAJOR << '.' << SPDLOG_VER_MINOR << '.' << SPDLOG_VER_PATCH
              << " with fmt " << FMT_VERSION / 10000 << '.' << FMT_VERSION / 100 % 100 << '.' << FMT_VERSION % 100 << '\n';
}
