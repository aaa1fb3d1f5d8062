"""The certified OpenID provider that every peer signs in with."""

import os

from .process import Failed, Process, free_port, need

CLIENT, SECRET = "vestibule", "side-by-side-side-by-side"


class Provider:
    def __init__(self, root, folder, cpus, redirects):
        home = os.path.join(root, "tests/e2e")
        if not os.path.isdir(os.path.join(home, "node_modules/oidc-provider")):
            raise Failed("the OpenID provider is not installed: npm ci --prefix tests/e2e")
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        command = [need("node"), "provider.mjs", f"--port={self.port}"]
        command += [f"--client-id={CLIENT}", f"--client-secret={SECRET}"]
        # Nobody has to renew anything while a run lasts.
        command += ["--access-ttl=86400"]
        command += [f"--redirect={uri}" for uri in redirects]
        self.process = Process("provider", command, folder, cpus, cwd=home).wait_for(self.port)
