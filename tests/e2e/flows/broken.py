"""A script with a mistake."""

measurements = {"temperature": 21}
print("reading")
print(measurements["pressure"])
