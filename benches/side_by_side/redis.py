"""One Redis for each peer that keeps sessions there."""

import re
import socket

from .process import Failed, Process, find, free_port


class Redis:
    def __init__(self, name, folder, cpus):
        program = find("redis-server") or find("valkey-server")
        if not program:
            raise Failed("redis-server is not installed")
        self.port = free_port()
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                   "--appendonly", "no", "--dir", folder]
        self.process = Process(name, command, folder, cpus).wait_for(self.port)
        self.asked = 0

    def _info(self, section, name):
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(f"INFO {section}\r\nQUIT\r\n".encode())
            text = b""
            while part := connection.recv(65536):
                text += part
        self.asked += 2
        return int(re.search(rf"^{name}:(\d+)", text.decode(), re.M).group(1))

    def commands(self):
        """How many were carried out so far, without those of this class."""
        own = self.asked
        return self._info("stats", "total_commands_processed") - own

    def memory(self):
        """Bytes that its data takes."""
        return self._info("memory", "used_memory")
