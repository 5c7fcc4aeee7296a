"""S3's error codes: one table of code, status and message, and the exception that carries them to the wire.

Source: Amazon S3 API Reference, "Error responses".
"""

from bivouac.core.errors import Error
from bivouac.s3 import xml

CODES: dict[str, tuple[int, str]] = {
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs."),
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header you provided is invalid."),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters you provided are invalid."),
    "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what the server received."),
    "BucketAlreadyExists": (409, "The requested bucket name is not available. The bucket namespace is shared by all "
                                 "users of the system. Select a different name and try again."),
    "BucketAlreadyOwnedByYou": (409, "The bucket that you tried to create already exists, and you own it."),
    "BucketNotEmpty": (409, "The bucket that you tried to delete is not empty."),
    "ConditionalRequestConflict": (409, "A conflicting operation occurred during the request. Try again."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed object size."),
    "ExpiredToken": (400, "The provided token has expired."),
    "IllegalLocationConstraintException": (400, "The location constraint is not the region of this endpoint."),
    "IllegalVersioningConfigurationException": (400, "The versioning configuration in the request is invalid."),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header."),
    "InternalError": (500, "An internal error occurred. Try again."),
    "InvalidAccessKeyId": (403, "The access key ID that you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketAclWithObjectOwnership": (400, "Bucket cannot have ACLs set with ObjectOwnership's "
                                                 "BucketOwnerEnforced setting."),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidBucketState": (409, "The request is not valid for the current state of the bucket."),
    "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid."),
    "InvalidEncryptionAlgorithmError": (400, "The encryption request that you specified is not valid. "
                                             "Supported value: AES256."),
    "InvalidObjectState": (403, "The operation is not valid for the current state of the object."),
    "InvalidPart": (400, "One or more of the specified parts could not be found. The part might not have been "
                         "uploaded, or the specified entity tag might not have matched the part's entity tag."),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order. The parts list must be specified in "
                              "order by part number."),
    "InvalidPolicyDocument": (400, "The content of the form does not meet the conditions specified in the policy "
                                   "document."),
    "InvalidRange": (416, "The requested range is not satisfiable."),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidRetentionPeriod": (400, "The retention period is not valid."),
    "InvalidSecurity": (403, "The provided security credentials are not valid."),
    "InvalidStorageClass": (400, "The storage class you specified is not valid."),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidTargetBucketForLogging": (400, "The target bucket for logging does not exist, is not owned by you, or does "
                                           "not have the appropriate grants for the log-delivery group."),
    "InvalidToken": (400, "The provided token is malformed or otherwise not valid."),
    "InvalidURI": (400, "The specified URI couldn't be parsed."),
    "KeyTooLongError": (400, "Your key is too long."),
    "MalformedACLError": (400, "The XML that you provided was not well formed or did not validate against our "
                               "published schema."),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedPolicy": (400, "This policy contains invalid Json"),
    "MalformedXML": (400, "The XML that you provided was not well formed or did not validate against our published "
                          "schema."),
    "MaxMessageLengthExceeded": (400, "Your request was too large."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingRequestBodyError": (400, "You sent an empty request body."),
    "MissingSecurityHeader": (400, "Your request is missing a required header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchBucketPolicy": (404, "The specified bucket does not have a bucket policy."),
    "NoSuchCORSConfiguration": (404, "The specified bucket does not have a CORS configuration."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist."),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have an ObjectLock configuration."),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found."),
    "NoSuchTagSet": (404, "The TagSet does not exist."),
    "NoSuchUpload": (404, "The specified multipart upload does not exist. The upload ID might be invalid, or the "
                          "multipart upload might have been aborted or completed."),
    "NoSuchVersion": (404, "The version ID specified in the request does not match an existing version."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration."),
    "NotImplemented": (501, "A header or query you provided implies functionality that is not implemented."),
    "NotModified": (304, "Not Modified"),
    "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket"),
    "OperationAborted": (409, "A conflicting conditional operation is currently in progress against this resource. "
                              "Try again."),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found"),
    "PermanentRedirect": (301, "The bucket that you are attempting to access must be addressed using the specified "
                               "endpoint."),
    "PreconditionFailed": (412, "At least one of the preconditions that you specified did not hold."),
    "QuotaExceeded": (403, "The quota of the bucket or of the project would be exceeded."),
    "RequestHeaderSectionTooLarge": (400, "Your request header section exceeds the maximum allowed size."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the server's time is too large."),
    "RequestTimeout": (400, "Your socket connection to the server was not read from or written to within the timeout "
                            "period."),
    "ServerSideEncryptionConfigurationNotFoundError": (404, "The server side encryption configuration was not found"),
    "ServiceUnavailable": (503, "The service cannot answer now. Try again."),
    "SignatureDoesNotMatch": (403, "The request signature that the server calculated does not match the signature that "
                                   "you provided. Check your secret access key and signing method."),
    "SlowDown": (503, "Reduce your request rate."),
    "TooManyBuckets": (400, "You have attempted to create more buckets than are allowed for your account."),
    "UnexpectedContent": (400, "This request contains unsupported content."),
    "UnresolvableGrantByEmailAddress": (400, "The email address that you provided does not match any account on "
                                             "record."),
    "UserKeyMustBeSpecified": (400, "The bucket POST request must contain the specified field name. If it is "
                                    "specified, check the order of the fields."),
    "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
}  # fmt: skip


class S3Error(Error):
    """An answer that is an error: a code of the table, perhaps a message that says more, and elements for its XML."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        headers: dict[str, str] | None = None,
        status: int = 0,
        **elements: str,
    ) -> None:
        table_status, table_message = CODES[code]
        super().__init__(message or table_message, type=code, headers=headers)
        self.code = code
        self.status = status or table_status
        self.elements = elements


def error_body(error: S3Error, resource: str, request_id: str, host_id: str) -> bytes:
    """The XML of an error, with the elements that belong to its code (Key, BucketName ...)."""
    inner = xml.leaf("Code", error.code) + xml.leaf("Message", error.message)
    inner += "".join(xml.leaf(name, value) for name, value in error.elements.items())
    if "Resource" not in error.elements:
        inner += xml.leaf("Resource", resource)
    inner += xml.leaf("RequestId", request_id) + xml.leaf("HostId", host_id)
    return f"{xml.DECLARATION}<Error>{inner}</Error>".encode()
