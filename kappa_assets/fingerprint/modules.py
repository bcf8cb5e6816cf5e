"""The pipeline's own modules: which they are, and their source as loaded."""

from __future__ import annotations

import ast
import importlib.util
import sys
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from kappa_assets.fingerprint import syntax

_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Module:
    """A loaded module and its source."""

    namespace: Mapping[str, Any]
    file: str
    tree: ast.Module
    bindings: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, tuple[str, str | None]]
    stars: tuple[str, ...]
    """Modules of `from ... import *`, the last first."""

    @classmethod
    def of(cls, namespace: Mapping[str, Any]) -> Module | None:
        """Return the module with these globals; None when its source cannot be read."""
        source = _source(namespace)
        if source is None:
            return None
        tree = syntax.parse(source)
        imports: dict[str, tuple[str, str | None]] = {}
        stars: list[str] = []
        scopes = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        for statement in (s for s in tree.body if not isinstance(s, scopes)):
            for bound, module, taken in syntax.imports(statement):
                target = _absolute(namespace, module)
                imports[bound] = (target, taken)
                stars += [target] if taken == "*" else []
        bindings = syntax.bindings(tree)
        return cls(namespace, str(namespace.get("__file__")), tree, bindings, imports, tuple(reversed(stars)))

    def absolute(self, name: str) -> str:
        """Return the full name of a module that this one imports as `name`, which may begin with dots."""
        return _absolute(self.namespace, name)

    def functions(self, code: CodeType) -> list[syntax.Function | ast.Lambda]:
        """Return the functions of this source that `code` can have been compiled from."""
        if Path(code.co_filename).name != Path(self.file).name:  # made by exec
            return []
        return syntax.function_nodes(self.tree, code)


@dataclass(frozen=True)
class Territory:
    """The code that counts as the pipeline's own: the package of its function, and what lies beside it."""

    home: Mapping[str, Any]
    package: str | None
    root: Path | None

    @classmethod
    def around(cls, function: object) -> Territory:
        """Return the territory of a function."""
        home: Mapping[str, Any] = getattr(function, "__globals__", {})
        name, file = str(home.get("__name__", "")), home.get("__file__")
        package = name.partition(".")[0] if "." in name else None
        if file is None:
            return cls(home, package, None)
        path = Path(file).resolve()
        return cls(home, package, path.parents[name.count(".") + (path.name == "__init__.py")])

    def holds(self, namespace: Mapping[str, Any]) -> bool:
        """Whether a function with these globals belongs to the pipeline."""
        name = str(namespace.get("__name__", ""))
        return namespace is self.home or self._holds(name, namespace.get("__file__"))

    def holds_module(self, name: str) -> bool:
        """Whether the module of that name, loaded or not, belongs to the pipeline."""
        return self._holds(name, None)

    def relative(self, text: str) -> str:
        """Return `text` without the folder the pipeline lies in, so that it is the same on every machine."""
        return text if self.root in (None, Path("/")) else text.replace(str(self.root), "")

    def _holds(self, name: str, file: str | None) -> bool:
        top = name.partition(".")[0]
        if top == "kappa_assets":
            return name.startswith("kappa_assets.pipelines.")
        if top == self.package:
            return True
        if self.root is None or top in sys.stdlib_module_names:
            return False
        found = file or _file_of(name)
        if found is None:
            return False
        path = Path(found).resolve()
        return path.is_relative_to(self.root) and _INSTALLED.isdisjoint(path.relative_to(self.root).parts)


def _absolute(namespace: Mapping[str, Any], name: str) -> str:
    package = namespace.get("__package__") or ""
    return importlib.util.resolve_name(name, package) if name.startswith(".") else name


def _source(namespace: Mapping[str, Any]) -> str | None:
    file = namespace.get("__file__")
    if file is not None and str(file).endswith(".py") and Path(file).is_file():
        with tokenize.open(file) as lines:
            return lines.read()
    read = getattr(namespace.get("__loader__"), "get_source", None)  # a module in a zip file
    try:
        source = read(namespace.get("__name__")) if read is not None else None
    except ImportError:
        return None
    return str(source) if source is not None else None


def _file_of(name: str) -> str | None:
    """Return the file of a module, loaded or not."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None else None
