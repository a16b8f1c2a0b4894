"""What an archive of evidence says about itself."""

from __future__ import annotations

README = b"""\
# Evidence about a version of a model

Made by Registrar. `registrar evidence verify FILE --key KEY` checks all of it without any connection; KEY is the registry's
public key, which you should have from elsewhere than from here.

Everything is as it was after the last entry of the audit's tree that `audit/head` is the head of.

| File | What it is |
|---|---|
| `version.json` | what never changes about the version: metrics, parameters, signature, provenance, risk; its stage and aliases |
| `notes.json` | description, tags, where its datasheet is |
| `manifest.txt` | its files: SHA-256, size, type, path. The SHA-256 of this text is the digest of the manifest |
| `card.json`, `card.md` | its model card. The SHA-256 of `card.json` is the digest of the revision |
| `policies/TENANT/NAME.json` | policies in force for the model; `_all`: those of all tenants. SHA-256: the digest of the revision |
| `approvals.json` | who was asked, for exactly what, and what was decided |
| `transitions.json`, `alias_moves.json` | when it was in which stage and had which alias, who moved it and why |
| `comments.json`, `checks.json` | what people said and what checks found |
| `audit/entries-*.jsonl` | entries of the audit about the model, and those that wrote the policies, as they were hashed |
| `audit/proofs-*.jsonl` | for each of them, hashes that lead to the tree's root (RFC 9162, 2.1.3) |
| `audit/head` | the head of that tree, signed (https://c2sp.org/tlog-checkpoint) |
| `audit/key` | the key that it was signed with, as the registry gives it |
| `index.json` | SHA-256 and size of all of the above |
| `index.note` | SHA-256 of `index.json`, signed (https://c2sp.org/signed-note) |

The entries prove what was recorded, when, in which order, and that none of it was changed since. That none about the model
was left out is shown by an export of the whole audit, not by this file.
"""
