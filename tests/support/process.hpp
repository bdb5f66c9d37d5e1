// tests/support/process.hpp: child processes held by their id, private directories, free ports.
#pragma once

#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

extern char** environ;

namespace luzia_test {

/// A directory of one's own under the system's temporary one, removed at the end.
class PrivateDirectory {
public:
    PrivateDirectory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "luzia-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) { throw std::runtime_error("no temporary directory"); }
        path_ = pattern;
    }
    PrivateDirectory(const PrivateDirectory&) = delete;
    PrivateDirectory& operator=(const PrivateDirectory&) = delete;
    ~PrivateDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
    [[nodiscard]] std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

/// A loopback port that nothing listens on at this moment.
[[nodiscard]] inline std::uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::runtime_error("no free port");
    }
    ::close(fd);
    return ntohs(address.sin_port);
}

/// One child, killed at the end if it is still there, and by the system where the thread that made it is gone without that.
class Process {
public:
    explicit Process(const std::vector<std::string>& command) {
        std::vector<char*> arguments;
        for (const char* const guard : {"setpriv", "--pdeathsig", "KILL", "--"}) {
            arguments.push_back(const_cast<char*>(guard));
        }
        for (const std::string& argument : command) {
            arguments.push_back(const_cast<char*>(argument.c_str()));
        }
        arguments.push_back(nullptr);
        if (::posix_spawnp(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0) {
            throw std::runtime_error("can't start " + command[0]);
        }
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process() { kill(); }

    void signal(int number) const {
        if (pid_ > 0) { ::kill(pid_, number); }
    }

    void kill() {
        if (pid_ <= 0) { return; }
        ::kill(pid_, SIGKILL);
        wait();
    }

    /// The exit code; -1 where a signal ended it.
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    [[nodiscard]] bool has_ended() {
        int status = 0;
        if (pid_ > 0 && ::waitpid(pid_, &status, WNOHANG) == pid_) { pid_ = -1; }
        return pid_ <= 0;
    }

private:
    pid_t pid_ = -1;
};

} // namespace luzia_test
