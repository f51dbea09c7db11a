"""Holds a bill of materials against the schema of CycloneDX 1.5 and against the crates on standard input.

usage: sbom.py FILE < lines "NAME VERSION"
"""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = open(sys.argv[1]).read()
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if error:
    sys.exit(f"not what CycloneDX 1.5 says: {error}")

bom = json.loads(text)
components = [bom["metadata"]["component"], *bom["components"]]
wanted = {tuple(line.split()) for line in sys.stdin}
missing = wanted - {(part["name"], part["version"]) for part in components}
if missing or not wanted:
    sys.exit(f"crates of the release build that it lacks: {sorted(missing)} of {len(wanted)}")

for part in components:
    purl = f"pkg:cargo/{part['name']}@{part['version']}".replace("+", "%2B")
    if not part.get("licenses") or part.get("purl", "").replace("+", "%2B") != purl:
        sys.exit(f"without licence or package URL: {part}")
print(len(components))
