// tests/support/certificates.hpp: an authority of the test's own and what it signs, made with the openssl program.
#pragma once

#include "process.hpp"

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace luzia_test {

class Certificates {
public:
    Certificates() {
        make_authority("ca");
        make_authority("other-ca");
        sign("server", "DNS:localhost,IP:127.0.0.1", "30");
        sign("elsewhere", "DNS:elsewhere.example", "30");
        sign("expired", "DNS:localhost,IP:127.0.0.1", "-1");
        sign("client", "DNS:client.example", "30");
    }

    [[nodiscard]] std::string certificate(const std::string& name) const { return directory_.file(name + ".crt"); }
    [[nodiscard]] std::string key(const std::string& name) const { return directory_.file(name + ".key"); }

private:
    void make_authority(const std::string& name) const {
        openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                 "/CN=" + name, "-keyout", key(name), "-out", certificate(name)});
    }

    void sign(const std::string& name, const std::string& names, const std::string& days) const {
        std::ofstream(directory_.file(name + ".ext")) << "subjectAltName=" << names << "\n";
        openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name, "-keyout", key(name),
                 "-out", directory_.file(name + ".csr")});
        openssl({"x509", "-req", "-in", directory_.file(name + ".csr"), "-CA", certificate("ca"), "-CAkey", key("ca"), "-CAcreateserial",
                 "-days", days, "-extfile", directory_.file(name + ".ext"), "-out", certificate(name)});
    }

    void openssl(std::vector<std::string> arguments) const {
        std::string command = "openssl";
        for (const std::string& argument : arguments) {
            command += " '" + argument + "'";
        }
        if (Process({"sh", "-c", command + " >/dev/null 2>" + directory_.file("log")}).wait() != 0) {
            throw std::runtime_error("failed: " + command);
        }
    }

    PrivateDirectory directory_;
};

} // namespace luzia_test
