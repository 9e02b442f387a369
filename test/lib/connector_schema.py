"""Holds documents against doc/connector.schema.json.

    connector_schema.py SCHEMA FILE...

Of a .json file the document itself, of a .md file each JSON object in a code
block that is a whole document.  Prints one line for each: "ok NAME" or
"NAME: POINTER: what is wrong"; and for each document whether one member more,
anywhere in it, is refused.
"""
import copy
import json
import re
import sys

import jsonschema


def documents(path):
    text = open(path, encoding="utf-8").read()
    if path.endswith(".json"):
        yield path, json.loads(text)
        return
    # as arguments of SQL
    for match in re.finditer(r"(\$\$|')\s*(\{\s*\"(?:title|base_url|extends|operations|objects)\".*?\})\s*\1", text, re.S):
        yield "%s:%d" % (path, text[: match.start()].count("\n") + 1), json.loads(match.group(2))
    for match in re.finditer(r"^```json\n(.*?)^```", text, re.S | re.M):
        try:
            document = json.loads(match.group(1))
        except ValueError:
            continue
        if isinstance(document, dict) and ("operations" in document or "objects" in document):
            yield "%s:%d" % (path, text[: match.start()].count("\n") + 1), document


def pointer(error):
    return "".join("/" + str(step) for step in error.absolute_path)


def closed_objects(document):
    """Paths of the objects of a document that take no member that is unknown."""
    paths = [["auth", i] for i in range(len(document.get("auth", [])))]
    paths += [["operations", name] for name in document.get("operations", {})]
    paths += [["operations", name, part] for name, operation in document.get("operations", {}).items()
              for part in ("request", "batch", "answer") if isinstance(operation.get(part), dict)]
    paths += [["objects", i] for i in range(len(document.get("objects", [])))]
    return [[]] + paths


def main():
    schema = json.load(open(sys.argv[1], encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in sys.argv[2:]:
        for name, document in documents(path):
            errors = sorted(validator.iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
            if '"requests": {}' in json.dumps(document):  # shows what is said of a wrong one
                print("ok %s" % name if errors else "%s: a wrong document is taken" % name)
                continue
            for error in errors:
                print("%s: %s: %s" % (name, pointer(error), error.message[:200]))
            for place in closed_objects(document) if not errors and "extends" not in document else []:
                other = copy.deepcopy(document)
                at = other
                for step in place:
                    at = at[step]
                at["zzzz"] = 1
                if validator.is_valid(other):
                    print("%s: /%s takes a member that nobody knows" % (name, "/".join(map(str, place))))
            if not errors:
                print("ok %s" % name)


main()
