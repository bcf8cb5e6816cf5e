"""Every error a user of kappa_assets can meet, in one tree.

KappaError
├── DeclarationError          a table is declared wrongly; found when the pipeline loads, no JVM needed
│   └── InvalidName           a name that is not a plain lower-case identifier
├── LogicError                Spark's analysed plan of a table's function breaks a rule of its layer
├── LogicChanged              the deployed logic is not the one that wrote the live table
├── PipelineNotFound          --pipeline names no module, or one without tables
├── LakeError                 the lake cannot be read or written, or is not what it should be
│   ├── DeletionRefused       what is to be removed is still needed, or nobody said that it may go
│   ├── TableMissing          a table that has not been written yet
│   └── TapeGap               positions on the tape do not tile: rows would be lost or doubled
├── SourceError               the landing folder, or what is in it, cannot be read
├── HostRunning               another host holds the lake's lock
├── RegistryConflict          somebody else changed the registry first
├── ReplayError               a replay cannot be planned, built or compared
│   └── PromotionRefused      a candidate may not go live
├── PolicyRefused             maintenance would remove what is still needed
└── SetupError                the machine lacks something: Java, jars, a port
"""

from __future__ import annotations


class KappaError(Exception):
    """Base of all errors: says what, what was got, and a hint of what to do."""

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        super().__init__(what if hint is None else f"{what}\nHint: {hint}")


class DeclarationError(KappaError):
    """A table is declared wrongly; the message begins with the file and line."""

    def __init__(self, what: str, *, origin: object = None, hint: str | None = None) -> None:
        super().__init__(what if origin is None else f"{origin}: {what}", hint=hint)


class InvalidName(DeclarationError):
    """A name that is not a plain lower-case identifier."""


class LogicError(KappaError):
    """The analysed plan of a table's function breaks a rule of its layer."""


class LogicChanged(KappaError):
    """The deployed logic is not the one that wrote the live table."""


class PipelineNotFound(KappaError):
    """No module of that name, or one that declares no tables."""


class LakeError(KappaError):
    """The lake cannot be read or written, or is not what it should be."""


class DeletionRefused(LakeError):
    """What is to be removed is still needed, or nobody said in the registry that it may go."""


class TableMissing(LakeError):
    """The table has not been written yet."""


class TapeGap(LakeError):
    """Positions on the tape do not tile: going on would lose or double rows."""


class SourceError(KappaError):
    """The landing folder, or what is in it, cannot be read."""


class HostRunning(KappaError):
    """Another host holds the lake's lock."""


class RegistryConflict(KappaError):
    """Somebody else changed the registry between reading and writing."""


class ReplayError(KappaError):
    """A replay cannot be planned, built or compared."""


class PromotionRefused(ReplayError):
    """A candidate may not go live."""


class PolicyRefused(KappaError):
    """Maintenance is asked to remove what is still needed."""


class SetupError(KappaError):
    """The machine lacks something that is needed: Java, jars, a port."""
