"""Every module and every public name says what it is, in a docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kappa_assets
from kappa_assets_tests.test_rooms import HOUSE, IDS, MODULES, full_name, tree_of


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


def listed(path: Path) -> list[str]:
    """Return what a module lists in `__all__`."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def is_documented(path: Path, name: str) -> bool:
    """Whether a name has a docstring where it is defined; followed through imports, overloads left out."""
    body = tree_of(path).body
    found = False
    for node, after in zip(body, [*body[1:], None], strict=True):
        match node:
            case ast.FunctionDef(name=defined) | ast.ClassDef(name=defined) if defined == name:
                found = found or bool(ast.get_docstring(node))
            case ast.ImportFrom(module=str(module), names=names) if name in {a.asname or a.name for a in names}:
                submodule = full_name(module, name)
                if submodule != module:
                    return bool(ast.get_docstring(tree_of(file_of(submodule))))
                return is_documented(file_of(module), name)
            case ast.Assign(targets=[ast.Name(id=defined)]) | ast.AnnAssign(target=ast.Name(id=defined)):
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                found = found or (defined == name and documented)
    return found


def file_of(module: str) -> Path:
    path = HOUSE.parent / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def public_definitions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Yield the public functions, classes and methods of a module by their names, overloads left out."""
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not any(ast.unparse(d) == "overload" for d in node.decorator_list):
                yield node.name, node
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


CONTRACTS = {
    method.name
    for path in MODULES
    for node in tree_of(path).body
    if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
    for method in node.body
    if isinstance(method, ast.FunctionDef) and ast.get_docstring(method)
}
"""Methods that a protocol explains once for all classes that have them."""


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_every_public_function_class_and_method_says_what_it_gives(path: Path) -> None:
    silent = {name for name, node in public_definitions(path) if not ast.get_docstring(node)}
    assert {name for name in silent if name.rpartition(".")[2] not in CONTRACTS or "." not in name} == set()


PUBLIC = [(path, name) for path in MODULES for name in listed(path)]


@pytest.mark.parametrize(("path", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_every_public_name_is_documented(path: Path, name: str) -> None:
    assert is_documented(path, name)


def test_the_public_names_exist() -> None:
    assert all(hasattr(kappa_assets, name) for name in kappa_assets.__all__)


def test_every_error_is_drawn_in_the_tree() -> None:
    """The tree in the docstring of `errors` is the tree of the classes."""
    from kappa_assets import errors

    drawn = {line.strip("│├└─ ").split(" ")[0] for line in (errors.__doc__ or "").splitlines()[2:] if line}
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn == defined
