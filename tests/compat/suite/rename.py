"""rename.py IN.tar OUT.tar NAME: the image of a docker-archive under another name."""

import io
import json
import sys
import tarfile

source, target, name = sys.argv[1:]
with tarfile.open(source) as old, tarfile.open(target, "w") as new:
    for member in old:
        data = old.extractfile(member) if member.isfile() else None
        if member.name == "repositories":
            continue
        if member.name == "manifest.json":
            manifest = json.load(data)
            manifest[0]["RepoTags"] = [name]
            text = json.dumps(manifest).encode()
            member.size, data = len(text), io.BytesIO(text)
        new.addfile(member, data)
