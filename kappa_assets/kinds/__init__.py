"""Kinds of table: what a micro-batch becomes, one module for each kind. A new kind goes here."""
