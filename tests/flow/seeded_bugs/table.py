"""Every seeded client bug, what the RFC says about it, and the problem type each CA refuses it with.

Where the two differ, `why` says which of them the RFC is with.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.flow.seeded_bugs import objects, proofs, signing
from tests.flow.seeded_bugs.place import Place
from tests.unit.devca.raw_client import Answer

CSR_DIFFERS = '"badCSR: The CSR is unacceptable" (§6.7); nobody lacks authorization for the order'

#: Pebble lets it pass; devca does not.
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Bug:
    act: Callable[[Place], Awaitable[Answer | str | None]]
    rfc: str
    refusal: str  # devca's, and Pebble's where `pebble` is None
    pebble: str | None = None
    why: str = ""
    status: int | None = None  # HTTP, where the RFC names one


SIGNING: Sequence[Bug] = (
    Bug(signing.der_signature, "RFC 7518 §3.4", "malformed"),
    Bug(signing.padded_base64url, "RFC 8555 §6.1", "malformed"),
    Bug(signing.standard_base64, "RFC 7515 §2", "malformed"),
    Bug(signing.jwk_with_kid, "RFC 8555 §6.2", "malformed"),
    Bug(signing.neither_jwk_nor_kid, "RFC 8555 §6.2", "malformed"),
    Bug(signing.jwk_where_kid_is_wanted, "RFC 8555 §6.2", "malformed"),
    Bug(signing.kid_where_jwk_is_wanted, "RFC 8555 §6.2", "malformed"),
    Bug(signing.kid_that_is_no_account_here, "RFC 8555 §6.2", "malformed"),
    Bug(signing.kid_of_nobody, "RFC 8555 §6.2", "accountDoesNotExist"),
    Bug(signing.kid_of_somebody_else, "RFC 8555 §6.2", "malformed"),
    Bug(signing.stale_nonce, "RFC 8555 §6.5", "badNonce"),
    Bug(signing.invented_nonce, "RFC 8555 §6.5", "badNonce"),
    Bug(signing.no_nonce, "RFC 8555 §6.5.2", "badNonce"),
    Bug(signing.nonce_in_an_http_header, "RFC 8555 §6.5.1", "malformed"),
    Bug(
        signing.wrong_url,
        "RFC 8555 §6.4",
        "unauthorized",
        pebble="malformed",
        why='"the server MUST reject the request as unauthorized"',
    ),
    Bug(signing.no_url, "RFC 8555 §6.4", "malformed"),
    Bug(signing.unprotected_header, "RFC 8555 §6.2", "malformed"),
    Bug(signing.general_serialization, "RFC 8555 §6.2", "malformed"),
    Bug(signing.detached_payload, "RFC 8555 §6.2", "malformed"),
    Bug(signing.wrong_content_type, "RFC 8555 §6.2", "malformed", status=415),
    Bug(signing.no_user_agent, "RFC 8555 §6.1", "malformed"),
    Bug(signing.alg_none, "RFC 8555 §6.2", "badSignatureAlgorithm"),
    Bug(signing.mac_in_place_of_a_signature, "RFC 8555 §6.2", "badSignatureAlgorithm"),
    Bug(signing.alg_of_another_curve, "RFC 7518 §3.4", "badSignatureAlgorithm"),
    Bug(signing.signed_by_another_key, "RFC 8555 §6.2", "malformed"),
    Bug(signing.payload_changed_after_signing, "RFC 8555 §6.2", "malformed"),
    Bug(
        signing.point_not_on_the_curve,
        "RFC 8555 §6.7",
        "badPublicKey",
        pebble="malformed",
        why='"signed by a public key the server does not support"; Pebble fails at parsing it',
    ),
    Bug(signing.short_coordinate, "RFC 7518 §6.2.1.2", "malformed"),
    Bug(signing.plain_get_of_an_order, "RFC 8555 §6.3", "malformed", status=405),
    Bug(signing.post_as_get_with_a_payload, "RFC 8555 §6.3", "malformed"),
)

ACCOUNTS: Sequence[Bug] = (
    Bug(objects.terms_not_agreed_to, "RFC 8555 §7.3", "userActionRequired"),
    Bug(objects.look_up_of_an_account_that_is_not_there, "RFC 8555 §7.3.1", "accountDoesNotExist"),
    Bug(objects.telephone_as_contact, "RFC 8555 §7.3", "unsupportedContact"),
    Bug(objects.two_addresses_in_one_contact, "RFC 8555 §7.3", "invalidContact"),
    Bug(
        objects.contact_with_header_fields,
        "RFC 8555 §7.3",
        "invalidContact",
        pebble=ACCEPTED,
        why='"Clients MUST NOT provide a "mailto" URL in the "contact" field that contains "hfields""',
    ),
    Bug(objects.deactivated_account_goes_on, "RFC 8555 §7.3.6", "unauthorized"),
    Bug(objects.order_of_another_account, "RFC 8555 §10.2", "unauthorized"),
    Bug(objects.certificate_of_another_account, "RFC 8555 §7.4.2", "unauthorized"),
    Bug(objects.key_change_with_the_wrong_old_key, "RFC 8555 §7.3.5", "malformed"),
    Bug(objects.key_change_for_another_account, "RFC 8555 §7.3.5", "malformed"),
    Bug(objects.key_change_with_another_inner_url, "RFC 8555 §7.3.5", "malformed"),
    Bug(
        objects.key_change_with_an_inner_nonce,
        "RFC 8555 §7.3.5",
        "malformed",
        pebble=ACCEPTED,
        why='"The inner JWS MUST omit the "nonce" header parameter"',
    ),
    Bug(objects.key_change_signed_by_the_old_key, "RFC 8555 §7.3.5", "malformed"),
)

BINDINGS: Sequence[Bug] = (
    Bug(objects.no_binding, "RFC 8555 §7.3.4", "externalAccountRequired"),
    Bug(objects.binding_with_another_mac_key, "RFC 8555 §7.3.4", "unauthorized"),
    Bug(objects.binding_with_an_unknown_kid, "RFC 8555 §7.3.4", "unauthorized"),
    Bug(objects.binding_of_another_key, "RFC 8555 §7.3.4", "badPublicKey"),
    Bug(objects.binding_with_a_nonce, "RFC 8555 §7.3.4", "malformed"),
    Bug(objects.binding_for_another_url, "RFC 8555 §7.3.4", "malformed"),
)

ORDERS: Sequence[Bug] = (
    Bug(objects.no_identifiers, "RFC 8555 §7.4", "malformed"),
    Bug(
        objects.unknown_identifier_type,
        "RFC 8555 §6.7",
        "unsupportedIdentifier",
        pebble="malformed",
        why='"An identifier is of an unsupported type"',
    ),
    Bug(objects.wildcard_in_the_middle, "RFC 8555 §7.1.3", "malformed"),
    Bug(objects.address_as_a_dns_name, "RFC 8738 §3", "malformed"),
    Bug(objects.name_with_a_last_dot, "RFC 8555 §7.1.3", "malformed"),
    Bug(objects.name_in_unicode, "RFC 8555 §7.1.4", "malformed"),
    Bug(objects.profile_that_is_not_offered, "draft-ietf-acme-profiles §3", "invalidProfile"),
    Bug(objects.finalize_before_the_order_is_ready, "RFC 8555 §7.4", "orderNotReady", status=403),
    Bug(objects.extra_name_in_the_csr, "RFC 8555 §7.4", "badCSR", pebble="unauthorized", why=CSR_DIFFERS),
    Bug(objects.name_missing_in_the_csr, "RFC 8555 §7.4", "badCSR", pebble="unauthorized", why=CSR_DIFFERS),
    Bug(objects.other_name_in_the_csr, "RFC 8555 §7.4", "badCSR", pebble="unauthorized", why=CSR_DIFFERS),
    Bug(objects.extra_address_in_the_csr, "RFC 8555 §7.4", "badCSR", pebble="unauthorized", why=CSR_DIFFERS),
    Bug(objects.account_key_in_the_csr, "RFC 8555 §11.1", "badCSR"),
    Bug(objects.csr_with_a_broken_signature, "RFC 8555 §7.4", "badCSR"),
    Bug(objects.padded_csr, "RFC 8555 §6.1", "malformed"),
    Bug(objects.csr_as_pem, "RFC 8555 §7.4", "malformed"),
    Bug(
        objects.weak_key_in_the_csr,
        "RFC 8555 §6.7",
        "badCSR",
        pebble=ACCEPTED,
        why='"The CSR is unacceptable (e.g., due to a short key)"; Pebble looks at no sizes',
    ),
    Bug(objects.garbage_as_certificate_id, "RFC 9773 §5", "malformed"),
    Bug(objects.padded_certificate_id, "RFC 9773 §4.1", "malformed"),
    Bug(objects.certificate_id_of_another_issuer, "RFC 9773 §5", "malformed"),
    Bug(
        objects.certificate_id_without_its_zero_octet,
        "RFC 9773 §4.1",
        "malformed",
        pebble=ACCEPTED,
        why="the id is made of the serial's DER octets, with the zero that keeps it positive; Pebble compares numbers",
    ),
    Bug(objects.replaces_twice, "RFC 9773 §5", "alreadyReplaced", status=409),
    Bug(objects.replaces_another_accounts, "RFC 9773 §5", "unauthorized"),
    Bug(
        objects.replaces_without_a_name_in_common,
        "RFC 9773 §5",
        "malformed",
        pebble="serverInternal",
        why='"the Server SHOULD reject": it is the client that is wrong, and Boulder says malformed',
    ),
    Bug(objects.renewal_info_for_garbage, "RFC 9773 §4.1", "malformed"),
    Bug(objects.revocation_by_another_account, "RFC 8555 §7.6", "unauthorized"),
    Bug(objects.revocation_by_another_key, "RFC 8555 §7.6", "unauthorized"),
    Bug(objects.revocation_twice, "RFC 8555 §7.6", "alreadyRevoked"),
    Bug(objects.revocation_for_no_known_reason, "RFC 8555 §7.6", "badRevocationReason"),
    Bug(objects.revocation_of_a_foreign_certificate, "RFC 8555 §7.6", "malformed"),
)

PROOFS: Sequence[Bug] = (
    Bug(proofs.challenge_answered_with_a_key_authorization, "RFC 8555 §7.5.1", "malformed"),
    Bug(proofs.http_nothing_there, "RFC 8555 §8.3", "unauthorized"),
    Bug(proofs.http_token_alone, "RFC 8555 §8.1", "unauthorized"),
    Bug(proofs.http_thumbprint_of_another_key, "RFC 8555 §8.1", "unauthorized"),
    Bug(proofs.http_cleaned_up_too_early, "RFC 8555 §8.3", "unauthorized"),
    Bug(proofs.dns_nothing_there, "RFC 8555 §8.4", "unauthorized"),
    Bug(proofs.dns_key_authorization_in_place_of_its_digest, "RFC 8555 §8.4", "unauthorized"),
    Bug(proofs.dns_padded_digest, "RFC 8555 §8.4", "unauthorized"),
    Bug(proofs.dns_hexadecimal_digest, "RFC 8555 §8.4", "unauthorized"),
    Bug(proofs.alpn_extension_not_critical, "RFC 8737 §3", "unauthorized"),
    Bug(proofs.alpn_extension_of_the_draft, "RFC 8737 §6.1", "unauthorized"),
    Bug(proofs.alpn_digest_without_its_octet_string, "RFC 8737 §3", "unauthorized"),
    Bug(proofs.alpn_two_names, "RFC 8737 §3", "unauthorized"),
    Bug(proofs.alpn_another_name, "RFC 8737 §3", "unauthorized"),
    Bug(
        proofs.alpn_not_self_signed,
        "RFC 8737 §3",
        "unauthorized",
        pebble=ACCEPTED,
        why='"The client MUST provide a self-signed certificate"; Boulder checks it, Pebble does not',
    ),
    Bug(proofs.alpn_protocol_not_negotiated, "RFC 8737 §3", "unauthorized"),
)

BUGS: Sequence[Bug] = (*SIGNING, *ACCOUNTS, *ORDERS, *PROOFS)
