"""rename.py IN.tar OUT.tar NAME...: the image of a docker-archive under other names, with an ENTRYPOINT that starts what follows it, as
the one of Dask's own image does: a program that is not there fails in the container, which then has a log."""

import hashlib
import io
import json
import sys
import tarfile

ENTRYPOINT = ["/bin/sh", "-c", 'exec "$@"', "sh"]
source, target, *names = sys.argv[1:]
with tarfile.open(source) as old, tarfile.open(target, "w") as new:
    manifest = json.load(old.extractfile("manifest.json"))
    [image] = manifest
    config = json.load(old.extractfile(image["Config"]))
    config["config"] = {**config.get("config", {}), "Entrypoint": ENTRYPOINT}
    text = json.dumps(config).encode()
    replaced = {"repositories", "manifest.json", image["Config"]}
    image |= {"Config": f"{hashlib.sha256(text).hexdigest()}.json", "RepoTags": names}
    for member in old:
        if member.name not in replaced:
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    for name, content in [(image["Config"], text), ("manifest.json", json.dumps(manifest).encode())]:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        new.addfile(member, io.BytesIO(content))
