"""Every error a user of kappa_assets can meet, in one tree.

KappaError
├── DeclarationError          a table is declared wrongly; found when the pipeline loads, no JVM needed
│   └── InvalidName           a name that is not a plain lower-case identifier
├── LogicError                Spark's analysed plan of a table's function breaks a rule of its layer
├── BatchFailed               Spark failed at a micro-batch, at the table's function or at what it read
├── GroupsMixed               what a table's function gives of some groups holds rows of others, or a key twice
├── ExpectationFailed         rows fail an expectation that no row may: nothing of their batch is written
├── TooManyDeleted            a snapshot lacks more keys than may be deleted: nothing of its batch is written
├── LogicChanged              the deployed logic is not the one that wrote the live table
├── PipelineNotFound          --pipeline names no module, or one without tables
├── TableNotDeclared          the pipeline has no table of that name
├── LakeError                 the lake cannot be read or written, or is not what it should be
│   ├── DeletionRefused       what is to be removed is still needed, or nobody said that it may go
│   ├── TableMissing          a table that has not been written yet
│   └── TapeGap               positions on the tape do not tile: rows would be lost or doubled
│       ├── CheckpointMismatch    a checkpoint and what was written from it do not belong together
│       └── RowsLost              a source does not have any more what the tape has not read yet
├── SourceError               the landing folder, or what is in it, cannot be read
├── LakeBusy                  another process is at it, and has the lock: wait for it, or stop it
│   ├── HostRunning           another host has the lake
│   ├── ReplayRunning         another replay, promotion or discard is under way
│   ├── PromotionRunning      a promotion drains the last of the tape
│   └── MaintenanceRunning    maintenance is at work already
├── CommitOvertaken           somebody else committed to the table first
├── Fenced                    another process has taken the lease of the table over
├── RegistryConflict          somebody else changed the registry first
├── ReplayError               a replay cannot be planned, built or compared
│   └── PromotionRefused      a candidate may not go live
├── NotComparable             a table of the lake and one outside cannot be compared as asked
├── ReleaseRefused            rows in quarantine cannot be released
├── LossRefused               there is no loss that a tape could be told to pass over
├── PolicyRefused             maintenance would remove what is still needed
└── SetupError                the machine lacks something: Java, jars, a port
"""

from __future__ import annotations

from typing import Self


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


class BatchFailed(KappaError):
    """Spark failed at a micro-batch: the error says of which table, what it was to read, and what Spark says."""


class GroupsMixed(KappaError):
    """What a table's function gives of some groups holds a row of another, or a key twice; nothing is written."""


class ExpectationFailed(KappaError):
    """Rows fail an expectation with on_fail="fail"; nothing of their batch is written, and it is tried again later."""

    SAYS = "takes nothing of"
    """By which a message is known to be of one, where only the text of it is left."""


class TooManyDeleted(KappaError):
    """A batch of snapshots would delete more keys than the declaration allows; nothing of it is written."""


class LogicChanged(KappaError):
    """The deployed logic is not the one that wrote the live table; the message begins with its file and line."""

    def __init__(self, what: str, *, origin: object = None, hint: str | None = None) -> None:
        super().__init__(what if origin is None else f"{origin}: {what}", hint=hint)


class PipelineNotFound(KappaError):
    """No module of that name, or one that declares no tables."""


class TableNotDeclared(KappaError):
    """The pipeline has no table of that name."""


class LakeError(KappaError):
    """The lake cannot be read or written, or is not what it should be."""


class DeletionRefused(LakeError):
    """What is to be removed is still needed, or nobody said in the registry that it may go."""


class TableMissing(LakeError):
    """The table has not been written yet."""


class TapeGap(LakeError):
    """Positions on the tape do not tile: going on would lose or double rows."""


class CheckpointMismatch(TapeGap):
    """A checkpoint and what was written from it do not belong together: one is lost, older, or another lake's."""


class RowsLost(TapeGap):
    """A source does not have any more what the tape has not read yet, or is not the same any more."""


class SourceError(KappaError):
    """The landing folder, or what is in it, cannot be read."""


class LakeBusy(KappaError):
    """Another process is at it, and has the lock: wait for it, or stop it."""

    _busy = "another process is at work on the lake"
    _advice = "Let it finish, or stop it: Ctrl-C in its terminal, or its Dagster run's Terminate."

    @classmethod
    def held_by(cls, holder: object) -> Self:
        """Return the error that names who has the lock."""
        return cls(f"{cls._busy}: {holder}", hint=cls._advice)


class HostRunning(LakeBusy):
    """Another host has the lake."""

    _busy = "another host has the lake"
    _advice = (
        "One host runs all tables of a lake. Let it, or stop it: Ctrl-C in its terminal; in Dagster, turn the "
        "stream's switch off."
    )


class ReplayRunning(LakeBusy):
    """Another replay, promotion or discard is under way: there is one at a time."""

    _busy = "another replay, promotion or discard is under way"


class PromotionRunning(LakeBusy):
    """A promotion drains the last of the tape."""

    _busy = "another promotion is under way"
    _advice = "It takes as long as the last of the tape; kappa releases shows when its release is live."


class MaintenanceRunning(LakeBusy):
    """Maintenance is at work already."""

    _busy = "maintenance is at work already"
    _advice = "Let it finish; what is left then is done by the next one."


class CommitOvertaken(KappaError):
    """Somebody else committed to the table first, without waiting for its turn. Nothing of ours is visible."""


class Fenced(KappaError):
    """Another process has taken over the lease that this one writes a table under. Nothing of ours is visible."""


class RegistryConflict(KappaError):
    """Somebody else changed the registry between reading and writing."""


class ReplayError(KappaError):
    """A replay cannot be planned, built or compared."""


class PromotionRefused(ReplayError):
    """A candidate may not go live."""


class NotComparable(KappaError):
    """A table of the lake and one outside of it cannot be compared in the way that was asked for."""


class ReleaseRefused(KappaError):
    """Rows in quarantine cannot be released; they are where they were."""


class LossRefused(KappaError):
    """There is no loss that a tape could be told to pass over; nothing is recorded."""


class PolicyRefused(KappaError):
    """Maintenance is asked to remove what is still needed."""


class SetupError(KappaError):
    """The machine lacks something that is needed: Java, jars, a port."""
