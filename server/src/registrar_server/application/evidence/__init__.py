"""Evidence: all that the registry can prove about a version, as one archive that proves itself."""
